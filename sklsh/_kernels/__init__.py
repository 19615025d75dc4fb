"""Compiled kernels: arrays and sizes in, arrays out."""

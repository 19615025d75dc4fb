import pytest

from sklsh._kernels import _simd


@pytest.fixture(params=_simd.available_levels())
def simd_level(request):
    """Run the test once at every instruction set this CPU has."""
    before = _simd.level()
    _simd.use_level(request.param)
    yield request.param
    _simd.use_level(before)


@pytest.fixture(params=[1, 2])
def n_threads(request):
    """Run the test with one thread and with two."""
    return request.param

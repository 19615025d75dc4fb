"""Tables for drawing from a distribution in constant time: the alias method.

Source: A. J. Walker, "An efficient method for generating discrete random variables with
general distributions", 1977, doi:10.1145/355744.355749; built as by M. D. Vose, 1991,
doi:10.1109/32.92917.
"""


def build_alias(
    double[::1] shares,          # IN/OUT (n,): probabilities times n; used up
    unsigned int[::1] threshold,  # OUT (n,): 2^32 times the probability to stay, less one
    int[::1] alias,              # OUT (n,): where the others go
    int[::1] waiting,            # SCRATCH (n,)
):
    """Pair each outcome that is too rare for its place with one that is too frequent.

    O(n).
    """
    cdef:
        Py_ssize_t n = shares.shape[0], i, n_rare = 0, first_frequent = n
        int rare, frequent
    with nogil:
        for i in range(n):  # the rare ones from the front, the frequent ones from the end
            if shares[i] < 1:
                waiting[n_rare] = <int> i
                n_rare += 1
            else:
                first_frequent -= 1
                waiting[first_frequent] = <int> i
            threshold[i], alias[i] = 0xffffffff, <int> i
        while n_rare > 0 and first_frequent < n:
            n_rare -= 1
            rare, frequent = waiting[n_rare], waiting[first_frequent]
            threshold[rare] = <unsigned int> min(shares[rare] * 4294967296.0, 4294967295.0)
            alias[rare] = frequent
            shares[frequent] -= 1 - shares[rare]
            if shares[frequent] < 1:
                first_frequent += 1
                waiting[n_rare] = frequent
                n_rare += 1

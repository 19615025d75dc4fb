"""K-mers of nucleotide sequences as numbers of two bits a base: A 0, C 1, G 2, T and U 3.

The first base is the most significant, so k-mers and their codes have the same order.
"""

cdef enum:
    UNKNOWN = 4        # an ambiguous base or a gap
    WRONG = 5          # no code of a nucleotide

cdef unsigned char[256] BASES
for _byte in range(256):
    BASES[_byte] = WRONG
for _byte in bytearray(b"RYSWKMBDHVNXryswkmbdhvnx-"):
    BASES[_byte] = UNKNOWN
for _letters in map(bytearray, (b"ACGT", b"acgt", b"ACGU", b"acgu")):
    for _base, _byte in enumerate(_letters):
        BASES[_byte] = _base


def kmer_codes(
    const unsigned char[::1] text,  # IN (n,): reads, one behind the other
    const Py_ssize_t[::1] ends,     # IN (n_reads,): where each read ends
    int k,                          # from 1 to 31
    bint both_strands,
    long long[::1] codes,           # OUT (>= sum of max(length - k + 1, 0),)
    Py_ssize_t[::1] indptr,         # OUT (n_reads + 1,): where the codes of each read begin
):
    """Codes of the k-mers of each read, in order; those with unknown bases are left out. O(n).

    With both strands, a k-mer has the smaller code of it and its reverse complement.
    """
    cdef:
        Py_ssize_t n_reads = ends.shape[0], n = 0, place = 0, read, length, room = 0
        int base, high = 2 * (k - 1)
        unsigned long long mask, forward = 0, backward = 0
    for read in range(n_reads):
        length = ends[read] - (ends[read - 1] if read else 0)
        if length < 0 or ends[read] > text.shape[0]:
            raise ValueError("The ends of the reads must ascend within the text.")
        room += max(length - k + 1, 0)
    if not 1 <= k <= 31 or codes.shape[0] < room or indptr.shape[0] != n_reads + 1:
        raise ValueError("k must be from 1 to 31, and the outputs have room for all k-mers.")
    mask = (<unsigned long long> 1 << (2 * k)) - 1
    with nogil:
        indptr[0] = 0
        for read in range(n_reads):
            length = 0  # of the run of known bases up to here
            while place < ends[read]:
                base = BASES[text[place]]
                place += 1
                if base >= UNKNOWN:
                    length = 0
                    continue
                length += 1
                forward = ((forward << 2) | <unsigned long long> base) & mask
                backward = (backward >> 2) | (<unsigned long long> (3 - base) << high)
                if length >= k:
                    codes[n] = min(forward, backward) if both_strands else forward
                    n += 1
            indptr[read + 1] = n


def count_runs(
    long long[::1] codes,           # IN/OUT (n,): ascending in each row; then distinct
    Py_ssize_t[::1] indptr,         # IN/OUT (n_rows + 1,)
    float[::1] counts,              # OUT (n,)
):
    """Leave each code of a row once, with its count. O(n)."""
    cdef Py_ssize_t row, i, n = 0, start = 0, end, count
    if codes.shape[0] < indptr[indptr.shape[0] - 1] or counts.shape[0] < codes.shape[0]:
        raise ValueError("Codes and counts must reach to the end of the last row.")
    with nogil:
        for row in range(indptr.shape[0] - 1):
            end, i = indptr[row + 1], start
            while i < end:
                count = 1
                while i + count < end and codes[i + count] == codes[i]:
                    count += 1
                codes[n] = codes[i]
                counts[n] = <float> count
                n += 1
                i += count
            indptr[row + 1] = n
            start = end


def decode(
    const long long[::1] codes,     # IN (n,)
    unsigned char[:, ::1] text,     # OUT (n, k)
):
    """K-mers as letters. O(n k)."""
    cdef:
        Py_ssize_t i, j, k = text.shape[1]
        long long code
        const char* letters = b"ACGT"
    if text.shape[0] != codes.shape[0]:
        raise ValueError("The text must have a row for each code.")
    with nogil:
        for i in range(codes.shape[0]):
            code = codes[i]
            for j in range(k - 1, -1, -1):
                text[i, j] = letters[code & 3]
                code >>= 2


def first_wrong(
    const unsigned char[::1] text,  # IN (n,)
):
    """Place of the first byte that is no code of a nucleotide, or -1."""
    cdef Py_ssize_t i
    for i in range(text.shape[0]):
        if BASES[text[i]] == WRONG:
            return i
    return -1

"""The table of row primitives in use, shared by all kernels."""


cdef extern from "row_ops_table.h" nogil:
    enum:
        N_RULES
        MOST_CELLS

    ctypedef void (*update_rule)(
        float* w, float* slot1, float* slot2, const float* g, const float* hyper, ptrdiff_t n
    ) noexcept nogil

    ctypedef struct row_ops:
        const char* name
        float (*dot)(const float* x, const float* y, ptrdiff_t n) noexcept nogil
        void (*sum_rows)(
            float* out, ptrdiff_t width, const float* table, const int* rows,
            const float* values, ptrdiff_t n, ptrdiff_t n_known
        ) noexcept nogil
        float (*dot_bf16)(
            const float* x, const unsigned short* y, ptrdiff_t n
        ) noexcept nogil
        void (*sum_rows_bf16)(
            float* out, ptrdiff_t width, const unsigned short* table, const int* rows,
            const float* values, ptrdiff_t n, ptrdiff_t n_known
        ) noexcept nogil
        void (*widen)(const unsigned short* row, float* out, ptrdiff_t n) noexcept nogil
        void (*narrow)(
            const float* x, unsigned short* row, ptrdiff_t n, unsigned int seed
        ) noexcept nogil
        update_rule rules[N_RULES]
        float (*add_max)(float* z, const float* offset, ptrdiff_t n) noexcept nogil
        float (*softmax)(
            float* z, const float* offset, float factor, ptrdiff_t n
        ) noexcept nogil
        float (*logistic)(
            float* z, const float* offset, const float* weight, float factor, ptrdiff_t n
        ) noexcept nogil
        void (*interleave16)(
            const float* const* row, ptrdiff_t width, float* out
        ) noexcept nogil
        void (*rotate16)(float* x, const float* sign, ptrdiff_t width) noexcept nogil
        void (*sign_bits16)(const float* x, int* code, int bit) noexcept nogil
        void (*winners16)(
            const float* x, const int* rows, ptrdiff_t n, int* slot
        ) noexcept nogil
        void (*product)(
            ptrdiff_t m, ptrdiff_t n, ptrdiff_t k,
            const float* a, ptrdiff_t a_row, ptrdiff_t a_k,
            const float* b, ptrdiff_t b_k,
            float* c, ptrdiff_t c_row, int accumulate
        ) noexcept nogil
        void (*add)(float* out, const float* x, ptrdiff_t n) noexcept nogil
        float (*largest)(const float* x, ptrdiff_t n) noexcept nogil
        void (*largest_each)(const float* x, float* top, ptrdiff_t n) noexcept nogil
        int (*round_int8)(
            const float* x, const float* scale, int scale_step, unsigned int seed, int zero,
            signed char* code, ptrdiff_t n
        ) noexcept nogil
        void (*weave)(
            const unsigned char* row, ptrdiff_t stride, ptrdiff_t n, ptrdiff_t width,
            ptrdiff_t apart, unsigned int* out
        ) noexcept nogil
        void (*product_int8)(
            ptrdiff_t m, ptrdiff_t n, ptrdiff_t groups,
            const signed char* a, ptrdiff_t a_row, ptrdiff_t a_group,
            const unsigned char* b, ptrdiff_t b_group,
            const float* row_scale, const int* row_sum, const float* column_scale,
            float* c, ptrdiff_t c_row, int accumulate
        ) noexcept nogil
        void (*round_int4)(
            const float* x, float factor, unsigned char* code, ptrdiff_t n_bytes
        ) noexcept nogil
        int (*dot_int4)(
            const signed char* x, const unsigned char* code, ptrdiff_t n_bytes
        ) noexcept nogil
        void (*places)(const float* x, int* place, ptrdiff_t n) noexcept nogil
        void (*median_cells)(
            float* const* cell, const float* sign, int depth, float* out, float* copy,
            ptrdiff_t n
        ) noexcept nogil
        void (*least_cells)(
            float* const* cell, int depth, float* out, float* copy, ptrdiff_t n
        ) noexcept nogil
        void (*add_change)(
            float* const* cell, const float* sign, int depth, const float* before,
            const float* after, ptrdiff_t n
        ) noexcept nogil
        void (*negate)(float* x, ptrdiff_t n) noexcept nogil
        float (*sparse_dot)(
            const float* x, const int* place, const float* row, ptrdiff_t n
        ) noexcept nogil
        void (*add_picked)(
            float* out, float factor, const float* row, const int* place, ptrdiff_t n
        ) noexcept nogil
        void (*pick)(
            const float* row, const int* place, float* out, ptrdiff_t n
        ) noexcept nogil

    void prefetch_bytes(const void* row, ptrdiff_t n_bytes) noexcept nogil


cdef const row_ops* ops

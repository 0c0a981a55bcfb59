/* Products in tiles: some rows times some vectors, all sums in registers. Part of kernel.c. */

/* a[row][v] += sum over k of A[row a_row + k a_k] B[k b_k + v VL]. Each sum runs over k in order, whatever the tile:
   a row's numbers do not depend on the rows beside it. */
INLINE void multiply(const int rows, const int vectors, vec a[TALL][4], const real *restrict A, int64_t a_row,
                     int64_t a_k, int64_t K, const stored *restrict B, int64_t b_k) {
  for (int64_t k = 0; k < K; k++) {
    vec w[4];
    UNROLL for (int v = 0; v < vectors; v++) w[v] = load_weights(B + v * VL);
    UNROLL for (int i = 0; i < rows; i++) {
      vec s = all(A[i * a_row]);
      UNROLL for (int v = 0; v < vectors; v++) a[i][v] += s * w[v];
    }
    A += a_k;
    B += b_k;
  }
}

/* The same for one row and several panels, `apart` from one another. */
INLINE void multiply_row(const int panels, const int vectors, vec a[TALL][4], const real *restrict A, int64_t K,
                         const stored *restrict B, int64_t apart) {
  for (int64_t k = 0; k < K; k++) {
    vec s = all(A[k]);
    UNROLL for (int p = 0; p < panels; p++)
      UNROLL for (int v = 0; v < vectors; v++) a[p][v] += s * load_weights(B + p * apart + v * VL);
    B += vectors * VL;
  }
}

/* Cut n rows into tiles of nearly equal height: `take` rows from row `at` on, at most `most`. */
#define FOR_TILES(n, most)                                                                       \
  for (int64_t at = 0, left = (n), tiles = (left + (most) - 1) / (most), take = 0;               \
       tiles && (take = (left + tiles - 1) / tiles, 1); at += take, left -= take, tiles--)

/* ---- a whole tile ------------------------------------------------------------------------------------------------ */

/* z = bias + x w for some rows and a panel of `gates` vectors. With rows of its own, `bias_row` apart, the bias may be
   z, to which is then added. */
INLINE void project(const int rows, const int gates, const real *x, int64_t x_row, int64_t F, const stored *w,
                    const real *bias, int64_t bias_row, real *z, int64_t z_row) {
  vec a[TALL][4];
  UNROLL for (int i = 0; i < rows; i++)
    UNROLL for (int g = 0; g < gates; g++) a[i][g] = load(bias + i * bias_row + g * VL);
  multiply(rows, gates, a, x, x_row, 1, F, w, gates * VL);
  UNROLL for (int i = 0; i < rows; i++) UNROLL for (int g = 0; g < gates; g++) store(z + i * z_row + g * VL, a[i][g]);
}

#define PROJECT(n, gates)                                                                                     \
  NOINLINE void project_##gates##_##n(const real *x, int64_t x_row, int64_t F, const stored *w, const real *bias, \
                                      int64_t bias_row, real *z, int64_t z_row) {                                                 \
    project(n, gates, x, x_row, F, w, bias, bias_row, z, z_row);                                                       \
  }
#define PROJECT_ALL(n) PROJECT(n, 1) PROJECT(n, 2) PROJECT(n, 3) PROJECT(n, 4)
PROJECT_ALL(1) PROJECT_ALL(2) PROJECT_ALL(3) PROJECT(4, 3)
#if ROWS == 6
PROJECT(4, 1) PROJECT(4, 2) PROJECT(4, 4) PROJECT_ALL(5) PROJECT_ALL(6) PROJECT(7, 3) PROJECT(8, 3)
#define PROJECT_ROW(g) project_##g##_1, project_##g##_2, project_##g##_3, project_##g##_4, project_##g##_5, project_##g##_6
#define PROJECT_ROW_3 PROJECT_ROW(3), project_3_7, project_3_8
#else
#define PROJECT_ROW(g) project_##g##_1, project_##g##_2, project_##g##_3
#define PROJECT_ROW_3 PROJECT_ROW(3), project_3_4
#endif

/* By vectors in a panel (gates of a unit, or outputs of a dense layer), then by rows. */
typedef void project_tile(const real *, int64_t, int64_t, const stored *, const real *, int64_t, real *, int64_t);
static project_tile *const project_tiles[4][ROWS_3] = {
    {PROJECT_ROW(1)}, {PROJECT_ROW(2)}, {PROJECT_ROW_3}, {PROJECT_ROW(4)}};

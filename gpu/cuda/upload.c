/* SPDX-License-Identifier: MIT */
#include "gpu/cuda/upload.h"

#include "common/err.h"
#include "gpu/cuda/device.h"
#include "gpu/cuda/folds.h"

#include <stdlib.h>
#include <string.h>

/* Enough for the copy engine to be busy all the time; more costs only pinning. */
#define PIECE_BYTES ((size_t)4 << 20)

struct upload {
    const struct steps *steps;
    char *device;
    cudaStream_t stream;
    struct {
        char *memory;     /* owned; pinned */
        cudaEvent_t sent; /* owned */
    } piece[2];
    size_t piece_bytes;
    int turn; /* the piece that is filled next */
    struct err *err;
};

static int start(struct upload *u)
{
    u->piece_bytes = PIECE_BYTES;
    for (int i = 0; i < u->steps->blob_count; i++) { /* a row goes at once */
        const struct blob *b = &u->steps->blob[i];
        const struct step *step = &u->steps->step[b->step];
        if (b->kind == BLOB_ROWS && kernel_connected_row_bytes(&step->connected) > u->piece_bytes)
            u->piece_bytes = kernel_connected_row_bytes(&step->connected);
    }
    if (u->piece_bytes > u->steps->weight_bytes)
        u->piece_bytes = u->steps->weight_bytes;
    int rc = 0;
    for (int i = 0; rc == 0 && i < 2; i++) {
        rc = device_allocate_pinned((void **)&u->piece[i].memory, u->piece_bytes, "sending weights",
                                    u->err);
        if (rc == 0)
            rc = device_failed(cudaEventCreateWithFlags(&u->piece[i].sent, cudaEventDisableTiming),
                               "sending weights", u->err);
    }
    return rc;
}

static void end(struct upload *u)
{
    for (int i = 0; i < 2; i++) {
        if (u->piece[i].sent)
            cudaEventDestroy(u->piece[i].sent);
        cudaFreeHost(u->piece[i].memory);
    }
}

/* Room for one piece, when what was in it has gone. */
static int next_piece(struct upload *u, char **out)
{
    *out = u->piece[u->turn].memory;
    return device_failed(cudaEventSynchronize(u->piece[u->turn].sent), "sending weights", u->err);
}

static int send_piece(struct upload *u, size_t to, size_t bytes)
{
    cudaError_t status = cudaMemcpyAsync(u->device + to, u->piece[u->turn].memory, bytes,
                                         cudaMemcpyHostToDevice, u->stream);
    if (status == cudaSuccess)
        status = cudaEventRecord(u->piece[u->turn].sent, u->stream);
    u->turn = 1 - u->turn;
    return device_failed(status, "sending weights", u->err);
}

static int send_all(struct upload *u, size_t to, const char *from, size_t bytes)
{
    int rc = 0;
    for (size_t done = 0; rc == 0 && done < bytes; done += u->piece_bytes) {
        const size_t n = bytes - done < u->piece_bytes ? bytes - done : u->piece_bytes;
        char *piece;
        rc = next_piece(u, &piece);
        if (rc == 0) {
            memcpy(piece, from + done, n);
            rc = send_piece(u, to + done, n);
        }
    }
    return rc;
}

static int send_conv(struct upload *u, const struct blob *b)
{
    struct fold_values v;
    char *packed = NULL;
    int rc = folds_conv(u->steps->network, b, &v);
    if (rc < 0)
        return rc;
    const struct kernel_conv_values values = {v.weight, v.bias, v.slope, v.slopes};
    if (b->bytes <= u->piece_bytes) {
        rc = next_piece(u, &packed);
        if (rc == 0) {
            kernel_conv_pack(&u->steps->step[b->step].conv, &values, packed);
            rc = send_piece(u, b->offset, b->bytes);
        }
    } else if ((packed = malloc(b->bytes))) {
        kernel_conv_pack(&u->steps->step[b->step].conv, &values, packed);
        rc = send_all(u, b->offset, packed, b->bytes);
        free(packed);
    } else {
        rc = ERR_NOMEM;
    }
    folds_fini(&v);
    return rc;
}

static int send_rows(struct upload *u, const struct blob *b)
{
    const struct step *step = &u->steps->step[b->step];
    const size_t row_bytes = kernel_connected_row_bytes(&step->connected);
    float *row = malloc((size_t)step->inputs * sizeof *row);
    int rc = row ? 0 : ERR_NOMEM;
    for (int o = 0; rc == 0 && o < step->outputs; o++) {
        char *piece;
        rc = folds_row(u->steps->network, b, o, row);
        if (rc == 0)
            rc = next_piece(u, &piece);
        if (rc == 0) {
            kernel_connected_pack(&step->connected, row, piece);
            rc = send_piece(u, b->offset + (size_t)o * row_bytes, row_bytes);
        }
    }
    free(row);
    return rc;
}

static int send_floats(struct upload *u, const struct blob *b)
{
    float *values = malloc(b->bytes);
    const struct step *step = &u->steps->step[b->step];
    int rc = values ? 0 : ERR_NOMEM;
    if (rc == 0 && b->kind != BLOB_MATRIX)
        rc = folds_floats(u->steps->network, b, values);
    for (int o = 0; rc == 0 && b->kind == BLOB_MATRIX && o < step->outputs; o++)
        rc = folds_row(u->steps->network, b, o, values + (int64_t)o * step->inputs);
    if (rc == 0)
        rc = send_all(u, b->offset, (const char *)values, b->bytes);
    free(values);
    return rc;
}

int upload_weights(const struct steps *steps, void *device, cudaStream_t stream, struct err *err)
{
    struct upload u = {.steps = steps, .device = device, .stream = stream, .err = err};
    int rc = steps->blob_count > 0 ? start(&u) : 0;
    for (int i = 0; rc == 0 && i < steps->blob_count; i++) {
        const struct blob *b = &steps->blob[i];
        if (b->kind == BLOB_CONV)
            rc = send_conv(&u, b);
        else if (b->kind == BLOB_ROWS)
            rc = send_rows(&u, b);
        else
            rc = send_floats(&u, b);
    }
    if (rc == 0)
        rc = device_failed(cudaStreamSynchronize(stream), "sending weights", err);
    end(&u);
    return rc;
}

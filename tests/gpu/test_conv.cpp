// SPDX-License-Identifier: MIT
//
// Convolutions of gpu/cuda on the emulated GPU against sums written down. Values are small whole
// numbers: every sum is exact, so results are compared to the bit.
#include "tests/gpu/kernels_support.h"

namespace
{

struct conv_case {
    const char *name;
    kernel_conv shape; // without type and arch
    int slopes;
};

const conv_case cases[] = {
    {"three channels 7x7", {.inputs = 3, .in_h = 11, .in_w = 13, .outputs = 24, .out_h = 11,
      .out_w = 13, .kernel = 7, .stride = 1, .pad = 3, .statistics = true}, 0},
    {"whole slices 3x3", {.inputs = 64, .in_h = 9, .in_w = 17, .outputs = 72, .out_h = 9,
      .out_w = 17, .kernel = 3, .stride = 1, .pad = 1, .statistics = true}, 0},
    {"slices across taps, two tiles of outputs", {.inputs = 40, .in_h = 6, .in_w = 5,
      .outputs = 136, .out_h = 6, .out_w = 5, .kernel = 3, .stride = 1, .pad = 1,
      .statistics = true, .act = KERNEL_RELU}, 0},
    {"stride 2, reflected", {.inputs = 16, .in_h = 12, .in_w = 14, .outputs = 33, .out_h = 6,
      .out_w = 7, .kernel = 3, .stride = 2, .pad = 1}, 0},
    {"stride 2, zeros after the end only", {.inputs = 16, .in_h = 12, .in_w = 14, .outputs = 16,
      .out_h = 6, .out_w = 7, .kernel = 3, .stride = 2, .pad = 0, .zeros = true}, 0},
    {"doubled 3x3", {.inputs = 16, .in_h = 5, .in_w = 7, .outputs = 40, .out_h = 10, .out_w = 14,
      .kernel = 3, .stride = 1, .pad = 1, .doubled = true, .statistics = true}, 0},
    {"doubled 3x3 with zeros", {.inputs = 8, .in_h = 4, .in_w = 5, .outputs = 8, .out_h = 8,
      .out_w = 10, .kernel = 3, .stride = 1, .pad = 1, .zeros = true, .doubled = true}, 0},
    {"doubled 5x5", {.inputs = 8, .in_h = 4, .in_w = 5, .outputs = 40, .out_h = 8, .out_w = 10,
      .kernel = 5, .stride = 1, .pad = 2, .doubled = true}, 0},
    {"transposed 3x3 by 2", {.inputs = 64, .in_h = 5, .in_w = 4, .outputs = 40, .out_h = 10,
      .out_w = 8, .kernel = 3, .stride = 2, .pad = 1, .transposed = true, .statistics = true}, 0},
    {"transposed 5x5 by 2 to an odd size", {.inputs = 12, .in_h = 4, .in_w = 6, .outputs = 9,
      .out_h = 9, .out_w = 11, .kernel = 5, .stride = 2, .pad = 1, .transposed = true,
      .statistics = true}, 0},
    {"transposed 5x5 by 1", {.inputs = 8, .in_h = 4, .in_w = 6, .outputs = 1, .out_h = 4,
      .out_w = 6, .kernel = 5, .stride = 1, .pad = 2, .transposed = true}, 0},
    {"head of 7x7, rows of two tiles", {.inputs = 16, .in_h = 4, .in_w = 130, .outputs = 3,
      .out_h = 4, .out_w = 130, .kernel = 7, .stride = 1, .pad = 3, .statistics = true}, 0},
    {"head of 9x9 with zeros", {.inputs = 8, .in_h = 5, .in_w = 6, .outputs = 3, .out_h = 5,
      .out_w = 6, .kernel = 9, .stride = 1, .pad = 4, .zeros = true}, 0},
    {"one pixel", {.inputs = 8, .in_h = 1, .in_w = 1, .outputs = 8, .out_h = 1, .out_w = 1,
      .kernel = 1, .stride = 1, .pad = 0, .statistics = true}, 0},
    {"1x1", {.inputs = 128, .in_h = 12, .in_w = 12, .outputs = 64, .out_h = 12, .out_w = 12,
      .kernel = 1, .stride = 1, .pad = 0, .statistics = true, .act = KERNEL_RELU}, 0},
    {"shuffled", {.inputs = 16, .in_h = 5, .in_w = 6, .outputs = 64, .out_h = 5, .out_w = 6,
      .kernel = 3, .stride = 1, .pad = 1, .zeros = true, .shuffled = true, .act = KERNEL_PRELU},
     16},
    {"a slope for all", {.inputs = 8, .in_h = 5, .in_w = 6, .outputs = 10, .out_h = 5, .out_w = 6,
      .kernel = 3, .stride = 1, .pad = 1, .zeros = true, .act = KERNEL_PRELU}, 1},
};

struct conv_data {
    std::vector<float> in, weight, bias, slope;
};

const int PICTURES = 3;

conv_data data_of(const conv_case &c)
{
    const kernel_conv &s = c.shape;
    numbers random = {(uint32_t)(&c - cases) + 1};
    conv_data d;
    d.in = random.whole((size_t)PICTURES * s.inputs * s.in_h * s.in_w, 2);
    d.weight = random.whole((size_t)s.inputs * s.outputs * s.kernel * s.kernel, 1);
    d.bias = random.whole((size_t)s.outputs, 3);
    d.slope = random.whole((size_t)c.slopes, 4);
    return d;
}

// The row of the picture that row i of what the convolution sees is; -1: zero.
int inside(int i, int size, const kernel_conv &s)
{
    const int seen = s.doubled ? 2 * size : size;
    if (s.zeros && (i < 0 || i >= seen))
        return -1;
    i = i < 0 ? -i : i >= seen ? 2 * (seen - 1) - i : i;
    return s.doubled ? i / 2 : i;
}

// Row of the input that meets row k of the kernel for output row y; -1: none does.
int source(int y, int k, int size, const kernel_conv &s)
{
    if (!s.transposed)
        return inside(y * s.stride - s.pad + k, size, s);
    const int from = y + s.pad - k;
    return from < 0 || from % s.stride || from / s.stride >= size ? -1 : from / s.stride;
}

float sum_at(const kernel_conv &s, const conv_data &d, int n, int o, int y, int x)
{
    const float *picture = &d.in[(size_t)n * s.inputs * s.in_h * s.in_w];
    float sum = d.bias[(size_t)o];
    for (int ky = 0; ky < s.kernel; ky++)
        for (int kx = 0; kx < s.kernel; kx++) {
            const int from_y = source(y, ky, s.in_h, s), from_x = source(x, kx, s.in_w, s);
            if (from_y < 0 || from_x < 0)
                continue;
            for (int i = 0; i < s.inputs; i++) {
                const int plane = s.transposed ? i * s.outputs + o : o * s.inputs + i;
                sum += picture[((size_t)i * s.in_h + from_y) * s.in_w + from_x] *
                       d.weight[((size_t)plane * s.kernel + ky) * s.kernel + kx];
            }
        }
    return sum;
}

// What is stored of one picture: [out_h][out_w][stored channels], or shuffled.
std::vector<float> expected(const conv_case &c, kernel_type type, const conv_data &d, int n)
{
    const kernel_conv &s = c.shape;
    const int size = s.shuffled ? 2 : 1, channels = s.outputs / (size * size);
    const int wide = kernel_channels(channels);
    std::vector<float> out((size_t)s.out_h * s.out_w * size * size * wide, 0.0f);
    for (int o = 0; o < s.outputs; o++)
        for (int y = 0; y < s.out_h; y++)
            for (int x = 0; x < s.out_w; x++) {
                float v = sum_at(s, d, n, o, y, x);
                const int channel = s.shuffled ? o / 4 : o;
                if (s.act == KERNEL_RELU)
                    v = v > 0 ? v : 0;
                if (s.act == KERNEL_PRELU)
                    v = v < 0 ? v * d.slope[c.slopes == 1 ? 0 : (size_t)channel] : v;
                const int row = size * y + (s.shuffled ? o % 4 / 2 : 0);
                const int column = size * x + (s.shuffled ? o % 2 : 0);
                out[((size_t)row * size * s.out_w + column) * wide + channel] = rounded(type, v);
            }
    return out;
}

struct conv_result {
    std::vector<char> out;
    std::vector<float> partials;
};

conv_result run(const conv_case &c, kernel_type type, const conv_data &d, int first, int pictures)
{
    kernel_conv shape = c.shape;
    shape.type = type;
    shape.arch = ARCH;
    CHECK_TEXT(kernel_conv_refuses(&shape) ? kernel_conv_refuses(&shape) : "", "");
    const size_t values = (size_t)shape.inputs * shape.in_h * shape.in_w;
    const std::vector<float> planes(d.in.begin() + (long)(first * values),
                                    d.in.begin() + (long)((first + pictures) * values));
    const kernel_conv_values weights = {d.weight.data(), d.bias.data(), d.slope.data(), c.slopes};
    std::vector<char> packed(kernel_conv_weight_bytes(&shape));
    kernel_conv_pack(&shape, &weights, packed.data());
    device in(as_type(type, stored(planes, pictures, shape.inputs, shape.in_h * shape.in_w)));
    device weight(packed);
    device out((size_t)pictures * shape.out_h * shape.out_w * kernel_channels(shape.outputs) *
               size_of(type));
    device partials(pictures * sizeof(float) *
                    kernel_partial_floats(kernel_conv_tiles(&shape), shape.outputs));
    cudaStream_t stream = nullptr;
    CHECK_INT(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
    CHECK_INT(kernel_conv(&shape, pictures, in.at, weight.at, out.at, partials.floats(), stream),
              cudaSuccess);
    finish(stream);
    cudaStreamDestroy(stream);
    conv_result result;
    result.out = out.read();
    if (shape.statistics)
        result.partials = partials.read_floats();
    return result;
}

// The moments that the partials add up to, against those of the stored values.
void check_moments(const conv_case &c, kernel_type type, const std::vector<float> &out,
                   const float *partials)
{
    kernel_conv s = c.shape;
    s.type = type;
    s.arch = ARCH;
    const int tiles = kernel_conv_tiles(&s), wide = kernel_channels(s.outputs);
    const int pixels = s.out_h * s.out_w;
    for (int o = 0; o < s.outputs; o++) {
        double sum = 0, squares = 0, count = 0, mean = 0, want = 0;
        for (int p = 0; p < pixels; p++)
            sum += out[(size_t)p * wide + o] / pixels;
        for (int p = 0; p < pixels; p++)
            want += (out[(size_t)p * wide + o] - sum) * (out[(size_t)p * wide + o] - sum);
        for (int t = 0; t < tiles; t++) {
            const double n = partials[(size_t)tiles * 2 * wide + t];
            const double m = partials[(size_t)t * 2 * wide + o];
            squares += partials[((size_t)t * 2 + 1) * wide + o] + n * (m - sum) * (m - sum);
            mean += n * m / pixels;
            count += n;
        }
        CHECK_INT((int)count, pixels);
        CHECK(fabs(mean - sum) <= 1e-5 * (1 + fabs(sum)));
        CHECK(fabs(squares - want) <= 1e-5 * (1 + want));
    }
}

void check_case(const conv_case &c, kernel_type type)
{
    emulator_reset((uint64_t)(&c - cases));
    const conv_data d = data_of(c);
    const conv_result all = run(c, type, d, 0, PICTURES);
    const size_t bytes = all.out.size() / PICTURES, floats = all.partials.size() / PICTURES;
    for (int n = 0; n < PICTURES; n++) {
        const std::vector<float> want = expected(c, type, d, n);
        int wrong = 0;
        for (size_t i = 0; i < want.size(); i++)
            if (half_at(type, all.out, n * bytes / size_of(type) + i) != want[i] && wrong++ == 0)
                printf("# %s %s: picture %d, value %zu is %g, not %g\n", c.name, name_of(type), n,
                       i, half_at(type, all.out, n * bytes / size_of(type) + i), want[i]);
        CHECK_INT(wrong, 0);
        if (c.shape.statistics)
            check_moments(c, type, want, &all.partials[n * floats]);
        const conv_result alone = run(c, type, d, n, 1);
        CHECK(memcmp(alone.out.data(), &all.out[n * bytes], bytes) == 0);
        CHECK(memcmp(alone.partials.data(), &all.partials[n * floats], floats * 4) == 0);
    }
    CHECK_INT(emulator_live_objects(), 0);
}

void check_cases(kernel_type type)
{
    if (kernel_type_runs(type, ARCH))
        for (const conv_case &c : cases)
            check_case(c, type);
}

void convolutions_are_exact_in_f32_at_any_batch()
{
    check_cases(KERNEL_F32);
}

void convolutions_are_exact_in_f16_at_any_batch()
{
    check_cases(KERNEL_F16);
}

void convolutions_are_exact_in_bf16_at_any_batch()
{
    check_cases(KERNEL_BF16);
}

void what_cannot_be_computed_is_refused_in_words()
{
    const kernel_conv good = {.type = KERNEL_F16, .arch = 80, .inputs = 8, .in_h = 4, .in_w = 4,
                              .outputs = 32, .out_h = 4, .out_w = 4, .kernel = 3, .stride = 1,
                              .pad = 1};
    kernel_conv s = good;
    CHECK(!kernel_conv_refuses(&s));
    s.arch = 70;
    CHECK_HAS(kernel_conv_refuses(&s), "too old");
    s = good;
    s.type = KERNEL_BF16;
    s.arch = 75;
    CHECK_HAS(kernel_conv_refuses(&s), "too old");
    s = good;
    s.kernel = 17;
    CHECK_HAS(kernel_conv_refuses(&s), "rows");
    s = good;
    s.stride = 3;
    CHECK_HAS(kernel_conv_refuses(&s), "stride");
    s = good;
    s.pad = 4;
    CHECK_HAS(kernel_conv_refuses(&s), "reflection");
    s = good;
    s.out_w = 9;
    CHECK_HAS(kernel_conv_refuses(&s), "reflection");
    s = good;
    s.outputs = 24;
    s.shuffled = true;
    CHECK_HAS(kernel_conv_refuses(&s), "shuffle");
    s = good;
    s.shuffled = s.statistics = true;
    CHECK_HAS(kernel_conv_refuses(&s), "shuffle");
    s = good;
    s.act = KERNEL_SIGMOID;
    CHECK_HAS(kernel_conv_refuses(&s), "activation");
    s = good;
    s.transposed = s.doubled = true;
    CHECK_HAS(kernel_conv_refuses(&s), "transposed");
    s = good;
    s.in_h = 0;
    CHECK_HAS(kernel_conv_refuses(&s), "shape");
    CHECK_INT(kernel_conv(&s, 1, nullptr, nullptr, nullptr, nullptr, nullptr),
              cudaErrorInvalidValue);
    s = good;
    s.in_h = s.in_w = s.out_h = s.out_w = 1 << 15;
    s.inputs = 64;
    CHECK_HAS(kernel_conv_refuses(&s), "values");
}

} // namespace

int main()
{
    RUN(convolutions_are_exact_in_f32_at_any_batch);
    RUN(convolutions_are_exact_in_f16_at_any_batch);
    RUN(convolutions_are_exact_in_bf16_at_any_batch);
    RUN(what_cannot_be_computed_is_refused_in_words);
    return check_report();
}

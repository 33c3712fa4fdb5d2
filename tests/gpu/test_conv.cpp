// SPDX-License-Identifier: MIT
//
// Convolutions of gpu/cuda on the emulated GPU against sums written down. Values are small whole
// numbers: every sum is exact, so results are compared to the bit.
#include "tests/gpu/kernels_support.h"

namespace
{

enum { ZEROS = 1, DOUBLED = 2, TRANSPOSED = 4, SHUFFLED = 8, MOMENTS = 16 };

struct conv_case {
    const char *name;
    int in[3], out[3]; // channels, rows, columns
    int kernel, stride, pad;
    int flags;
    kernel_act act;
    int slopes;
};

const kernel_act NONE = KERNEL_ACT_NONE, RELU = KERNEL_RELU, PRELU = KERNEL_PRELU;

const conv_case cases[] = {
    {"three channels", {3, 11, 13}, {24, 11, 13}, 7, 1, 3, MOMENTS, NONE, 0},
    {"whole slices", {64, 9, 17}, {72, 9, 17}, 3, 1, 1, MOMENTS, NONE, 0},
    {"slices across taps, two tiles", {40, 6, 5}, {136, 6, 5}, 3, 1, 1, MOMENTS, RELU, 0},
    {"every second, reflected", {16, 12, 14}, {33, 6, 7}, 3, 2, 1, 0, NONE, 0},
    {"every second, zeros at the end", {16, 12, 14}, {16, 6, 7}, 3, 2, 0, ZEROS, NONE, 0},
    {"doubled", {16, 5, 7}, {40, 10, 14}, 3, 1, 1, DOUBLED | MOMENTS, NONE, 0},
    {"doubled with zeros", {8, 4, 5}, {8, 8, 10}, 3, 1, 1, DOUBLED | ZEROS, NONE, 0},
    {"doubled 5x5", {8, 4, 5}, {40, 8, 10}, 5, 1, 2, DOUBLED, NONE, 0},
    {"transposed", {64, 5, 4}, {40, 10, 8}, 3, 2, 1, TRANSPOSED | MOMENTS, NONE, 0},
    {"transposed to an odd size", {12, 4, 6}, {9, 9, 11}, 5, 2, 1, TRANSPOSED | MOMENTS, NONE, 0},
    {"transposed one by one", {8, 4, 6}, {1, 4, 6}, 5, 1, 2, TRANSPOSED, NONE, 0},
    {"head with rows of two tiles", {16, 4, 130}, {3, 4, 130}, 7, 1, 3, MOMENTS, NONE, 0},
    {"head with zeros", {8, 5, 6}, {3, 5, 6}, 9, 1, 4, ZEROS, NONE, 0},
    {"one pixel", {8, 1, 1}, {8, 1, 1}, 1, 1, 0, MOMENTS, NONE, 0},
    {"1x1", {128, 12, 12}, {64, 12, 12}, 1, 1, 0, MOMENTS, RELU, 0},
    {"many pixels", {8, 45, 47}, {72, 45, 47}, 3, 1, 1, MOMENTS, NONE, 0},
    {"many pixels to few outputs", {64, 46, 47}, {40, 46, 47}, 1, 1, 0, MOMENTS, RELU, 0},
    {"shuffled", {16, 5, 6}, {64, 5, 6}, 3, 1, 1, ZEROS | SHUFFLED, PRELU, 16},
    {"one slope for all", {8, 5, 6}, {10, 5, 6}, 3, 1, 1, ZEROS, PRELU, 1},
};

struct kernel_conv shape_of(const conv_case &c, kernel_type type)
{
    struct kernel_conv s = {};
    s.type = type;
    s.arch = ARCH;
    s.inputs = c.in[0];
    s.in_h = c.in[1];
    s.in_w = c.in[2];
    s.outputs = c.out[0];
    s.out_h = c.out[1];
    s.out_w = c.out[2];
    s.kernel = c.kernel;
    s.stride = c.stride;
    s.pad = c.pad;
    s.zeros = c.flags & ZEROS;
    s.doubled = c.flags & DOUBLED;
    s.transposed = c.flags & TRANSPOSED;
    s.shuffled = c.flags & SHUFFLED;
    s.statistics = c.flags & MOMENTS;
    s.act = c.act;
    return s;
}

struct conv_data {
    std::vector<float> in, weight, bias, slope;
};

const int PICTURES = 3;

conv_data data_of(const conv_case &c)
{
    const struct kernel_conv s = shape_of(c, KERNEL_F32);
    numbers random = {(uint32_t)(&c - cases) + 1};
    conv_data d;
    d.in = random.whole((size_t)PICTURES * s.inputs * s.in_h * s.in_w, 2);
    d.weight = random.whole((size_t)s.inputs * s.outputs * s.kernel * s.kernel, 1);
    d.bias = random.whole((size_t)s.outputs, 3);
    d.slope = random.whole((size_t)c.slopes, 4);
    return d;
}

// The row of the picture that row i of what the convolution sees is; -1: zero.
int inside(int i, int size, const struct kernel_conv &s)
{
    const int seen = s.doubled ? 2 * size : size;
    if (s.zeros && (i < 0 || i >= seen))
        return -1;
    i = i < 0 ? -i : i >= seen ? 2 * (seen - 1) - i : i;
    return s.doubled ? i / 2 : i;
}

// Row of the input that meets row k of the kernel for output row y; -1: none does.
int source(int y, int k, int size, const struct kernel_conv &s)
{
    if (!s.transposed)
        return inside(y * s.stride - s.pad + k, size, s);
    const int from = y + s.pad - k;
    return from < 0 || from % s.stride || from / s.stride >= size ? -1 : from / s.stride;
}

float sum_at(const struct kernel_conv &s, const conv_data &d, int n, int o, int y, int x)
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
    const struct kernel_conv s = shape_of(c, type);
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
    const struct kernel_conv shape = shape_of(c, type);
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
    const struct kernel_conv s = shape_of(c, type);
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
        if ((c.flags & MOMENTS))
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
    const conv_case plain = {"", {8, 4, 4}, {32, 4, 4}, 3, 1, 1, 0, NONE, 0};
    struct kernel_conv good = shape_of(plain, KERNEL_F16);
    good.arch = 80;
    struct kernel_conv s = good;
    CHECK(!kernel_conv_refuses(&s));
    s.arch = 70;
    CHECK_HAS(kernel_conv_refuses(&s), "too old");
    s = good;
    s.type = KERNEL_BF16;
    s.arch = 75;
    CHECK_HAS(kernel_conv_refuses(&s), "too old");
    s = good;
    s.kernel = 12;
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

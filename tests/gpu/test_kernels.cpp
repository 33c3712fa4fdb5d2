// SPDX-License-Identifier: MIT
//
// The kernels of gpu/cuda but for convolutions, on the emulated GPU, against the same in double
// precision. Every one at odd sizes, in every type, alone and among others.
#include "tests/gpu/kernels_support.h"

#include <climits>

namespace
{

const float ULP[] = {1e-6f, 1.0f / 1024, 1.0f / 128}; // of enum kernel_type

struct stream {
    cudaStream_t at = nullptr;
    stream()
    {
        CHECK_INT(cudaStreamCreateWithFlags(&at, cudaStreamNonBlocking), cudaSuccess);
    }
    ~stream()
    {
        cudaStreamDestroy(at);
    }
};

bool near(double got, double want, double tolerance)
{
    const bool is = fabs(got - want) <= tolerance * (1 + fabs(want));
    if (!is)
        printf("# %g, not %g\n", got, want);
    return is;
}

// Partials of pictures with these pixels, as a convolution's tiles of 50 pixels leave them.
std::vector<float> partials_of(const std::vector<float> &planes, int pictures, int channels,
                               int pixels, int tiles)
{
    const int wide = kernel_channels(channels), each = (pixels + tiles - 1) / tiles;
    std::vector<float> all;
    for (int n = 0; n < pictures; n++) {
        std::vector<float> own(kernel_partial_floats(tiles, channels), 0.0f);
        for (int t = 0; t < tiles; t++) {
            const int first = t * each, end = std::min(pixels, first + each);
            own[(size_t)tiles * 2 * wide + t] = (float)(end - first);
            for (int c = 0; c < channels; c++) {
                const float *plane = &planes[((size_t)n * channels + c) * pixels];
                double mean = 0, squares = 0;
                for (int p = first; p < end; p++)
                    mean += plane[p] / (double)(end - first);
                for (int p = first; p < end; p++)
                    squares += (plane[p] - mean) * (plane[p] - mean);
                own[(size_t)t * 2 * wide + c] = (float)mean;
                own[((size_t)t * 2 + 1) * wide + c] = (float)squares;
            }
        }
        all.insert(all.end(), own.begin(), own.end());
    }
    return all;
}

struct norm_case {
    int channels, pixels, tiles;
    bool rho, gamma, unbiased, per_picture;
};

const norm_case norm_cases[] = {
    {5, 143, 3, false, false, false, false}, {16, 100, 2, false, true, false, false},
    {24, 77, 7, true, true, true, false},    {33, 200, 4, true, true, true, true},
    {600, 9, 1, true, true, false, false},
};

const int PICTURES = 3, LAYER = 7;
const float EPSILON = 1e-5f;

struct norm_inputs {
    std::vector<float> planes, partials, rho, gamma, beta;
};

norm_inputs inputs_of(const norm_case &c)
{
    numbers random = {11};
    norm_inputs in;
    in.planes = random.real((size_t)PICTURES * c.channels * c.pixels, 1.0f);
    for (size_t i = 0; i < in.planes.size(); i++) // far from zero, so that squares would cancel
        in.planes[i] += 100.0f * (float)(i / c.pixels % 3);
    in.partials = partials_of(in.planes, PICTURES, c.channels, c.pixels, c.tiles);
    in.rho = random.real((size_t)c.channels, 1.0f);
    in.gamma = random.real((size_t)c.channels * PICTURES, 2.0f);
    in.beta = random.real((size_t)c.channels * PICTURES, 2.0f);
    return in;
}

// What normalising makes of pixel p of channel c: as gpu/network.h has it.
double normalised(const norm_case &k, const norm_inputs &in, int n, int c, int p)
{
    const size_t count = (size_t)k.pixels, all = count * k.channels;
    const float *picture = &in.planes[n * all], *plane = picture + c * count;
    double m = 0, v = 0, M = 0, V = 0;
    for (size_t i = 0; i < count; i++)
        m += plane[i] / (double)count;
    for (size_t i = 0; i < count; i++)
        v += (plane[i] - m) * (plane[i] - m);
    for (size_t i = 0; i < all; i++)
        M += picture[i] / (double)all;
    for (size_t i = 0; i < all; i++)
        V += (picture[i] - M) * (picture[i] - M);
    v /= (double)(count - k.unbiased);
    V /= (double)(all - k.unbiased);
    const size_t own = (size_t)(k.per_picture ? n * k.channels : 0) + c;
    const double r = k.rho ? in.rho[(size_t)c] : 1.0;
    const double y =
        r * (plane[p] - m) / sqrt(v + EPSILON) + (1 - r) * (plane[p] - M) / sqrt(V + EPSILON);
    return k.gamma ? in.gamma[own] * y + in.beta[own] : y;
}

void check_norm(const norm_case &k)
{
    emulator_reset(3);
    const norm_inputs in = inputs_of(k);
    const int wide = kernel_channels(k.channels);
    struct kernel_norm shape = {};
    shape.pictures = PICTURES;
    shape.channels = k.channels;
    shape.tiles = k.tiles;
    shape.unbiased = k.unbiased;
    shape.per_picture = k.per_picture;
    shape.epsilon = EPSILON;
    shape.layer = LAYER;
    device partials(in.partials), rho(in.rho), gamma(in.gamma), beta(in.beta);
    device scale((size_t)PICTURES * wide * 4), shift((size_t)PICTURES * wide * 4);
    device bad(std::vector<char>(4, 0x7f)), mean((size_t)PICTURES * k.channels * 4);
    stream s;
    CHECK_INT(kernel_norm_factors(&shape, partials.floats(), k.rho ? rho.floats() : nullptr,
                                  k.gamma ? gamma.floats() : nullptr,
                                  k.gamma ? beta.floats() : nullptr, scale.floats(), shift.floats(),
                                  (int *)bad.at, s.at),
              cudaSuccess);
    CHECK_INT(kernel_mean(PICTURES, k.channels, k.tiles, partials.floats(), mean.floats(), s.at),
              cudaSuccess);
    finish(s.at);
    const std::vector<float> factors = scale.read_floats(), offsets = shift.read_floats();
    const std::vector<float> means = mean.read_floats();
    CHECK(bad.read() == std::vector<char>(4, 0x7f));
    for (int n = 0; n < PICTURES; n++)
        for (int c = 0; c < wide; c++) {
            const size_t at = (size_t)n * wide + c;
            if (c >= k.channels) {
                CHECK(factors[at] == 0.0f && offsets[at] == 0.0f);
                continue;
            }
            const float *plane = &in.planes[((size_t)n * k.channels + c) * k.pixels];
            double sum = 0;
            for (int p = 0; p < k.pixels; p++)
                sum += plane[p] / (double)k.pixels;
            CHECK(near(means[(size_t)n * k.channels + c], sum, 1e-5));
            if (c % 50 == 0) // the reference is slow
                CHECK(near((double)plane[0] * factors[at] + offsets[at], normalised(k, in, n, c, 0),
                           3e-4));
        }
}

void factors_normalise_as_the_formulas_say()
{
    for (const norm_case &k : norm_cases)
        check_norm(k);
}

void moments_that_are_no_numbers_name_the_layer()
{
    emulator_reset(1);
    norm_case k = norm_cases[0];
    norm_inputs in = inputs_of(k);
    in.partials[1] = INFINITY;
    struct kernel_norm shape = {};
    shape.pictures = PICTURES;
    shape.channels = k.channels;
    shape.tiles = k.tiles;
    shape.layer = LAYER;
    device partials(in.partials), bad(std::vector<char>(4, 0x7f));
    device scale((size_t)PICTURES * 8 * 4), shift((size_t)PICTURES * 8 * 4);
    stream s;
    CHECK_INT(kernel_norm_factors(&shape, partials.floats(), nullptr, nullptr, nullptr,
                                  scale.floats(), shift.floats(), (int *)bad.at, s.at),
              cudaSuccess);
    finish(s.at);
    CHECK(bad.read() == std::vector<char>({LAYER, 0, 0, 0}));
}

struct apply_case {
    int channels, pixels;
    bool factors, per_picture, other, in_place;
    kernel_act act;
};

const apply_case apply_cases[] = {
    {24, 77, true, true, false, true, KERNEL_RELU},
    {64, 1300, true, true, true, false, KERNEL_ACT_NONE},
    {5, 30, true, false, false, false, KERNEL_PRELU},
    {33, 12, false, false, true, true, KERNEL_ACT_NONE},
    {8, 9, false, false, false, false, KERNEL_TANH},
};

double acted(kernel_act act, double v, double slope)
{
    switch (act) {
    case KERNEL_RELU: return v > 0 ? v : 0;
    case KERNEL_PRELU: return v < 0 ? v * slope : v;
    case KERNEL_SIGMOID: return 1 / (1 + exp(-v));
    case KERNEL_TANH: return tanh(v);
    case KERNEL_ACT_NONE: break;
    }
    return v;
}

void check_apply(const apply_case &k, kernel_type type)
{
    emulator_reset(5);
    numbers random = {(uint32_t)k.pixels};
    const int wide = kernel_channels(k.channels);
    const size_t count = (size_t)PICTURES * k.pixels * wide;
    const std::vector<float> values = random.real(count, 2.0f), more = random.real(count, 2.0f);
    const std::vector<float> factors = random.real((size_t)PICTURES * wide, 2.0f);
    const std::vector<float> offsets = random.real((size_t)PICTURES * wide, 2.0f);
    const std::vector<float> slopes = random.real((size_t)wide, 1.0f);
    struct kernel_apply shape = {};
    shape.type = type;
    shape.pictures = PICTURES;
    shape.channels = k.channels;
    shape.pixels = k.pixels;
    shape.per_picture = k.per_picture;
    shape.act = k.act;
    device in(as_type(type, values)), other(as_type(type, more)), separate(count * size_of(type));
    device scale(factors), shift(offsets), slope(slopes);
    device &out = k.in_place ? in : separate;
    stream s;
    CHECK_INT(kernel_apply(&shape, in.at, k.factors ? scale.floats() : nullptr,
                           k.factors ? shift.floats() : nullptr, slope.floats(),
                           k.other ? other.at : nullptr, out.at, s.at),
              cudaSuccess);
    finish(s.at);
    const std::vector<char> got = out.read();
    for (size_t i = 0; i < count; i++) {
        const size_t c = i % wide, n = i / wide / k.pixels;
        const size_t own = (k.per_picture ? n * wide : 0) + c;
        double v = rounded(type, values[i]);
        v = k.factors ? v * factors[own] + offsets[own] : v;
        v = acted(k.act, v, slopes[c]) + (k.other ? rounded(type, more[i]) : 0);
        CHECK(near(half_at(type, got, i), v, ULP[type]));
    }
}

void applying_scales_shifts_bends_and_adds()
{
    for (kernel_type type : types)
        for (const apply_case &k : apply_cases)
            check_apply(k, type);
}

void planes_come_back_through_the_activation_as_they_went()
{
    for (kernel_type type : types) {
        emulator_reset(2);
        numbers random = {9};
        const int channels = 11, pixels = 301, layer = 4;
        const std::vector<float> planes = random.real((size_t)PICTURES * channels * pixels, 3.0f);
        device from(planes), to(planes.size() * 4), bad(std::vector<char>(4, 0x7f));
        device values((size_t)PICTURES * pixels * 16 * size_of(type));
        device sums((size_t)PICTURES * pixels * 4);
        stream s;
        CHECK_INT(
            kernel_from_planes(type, PICTURES, channels, pixels, from.floats(), values.at, s.at),
            cudaSuccess);
        CHECK_INT(kernel_to_planes(type, PICTURES, channels, pixels, KERNEL_SIGMOID, values.at,
                                   to.floats(), layer, (int *)bad.at, s.at),
                  cudaSuccess);
        CHECK_INT(
            kernel_channel_sum(type, PICTURES, channels, pixels, values.at, sums.floats(), s.at),
            cudaSuccess);
        finish(s.at);
        const std::vector<char> have = values.read();
        const std::vector<float> want = stored(planes, PICTURES, channels, pixels);
        const std::vector<float> got = to.read_floats(), added = sums.read_floats();
        for (size_t i = 0; i < want.size(); i++)
            CHECK(half_at(type, have, i) == rounded(type, want[i]));
        for (size_t i = 0; i < planes.size(); i++)
            CHECK(near(got[i], acted(KERNEL_SIGMOID, rounded(type, planes[i]), 0), 1e-6));
        for (size_t i = 0; i < added.size(); i++) {
            double sum = 0;
            for (int c = 0; c < channels; c++)
                sum += rounded(type, want[i * 16 + c]);
            CHECK(near(added[i], sum, 1e-5));
        }
        CHECK(bad.read() == std::vector<char>(4, 0x7f));
    }
}

void a_value_that_is_no_number_names_its_layer()
{
    for (kernel_type type : types)
        for (float value : {NAN, INFINITY, -INFINITY}) {
            emulator_reset(2);
            std::vector<float> values(3 * 20 * 8, 1.0f);
            values[2 * 20 * 8 + 33] = value;
            device in(as_type(type, values)), to(3 * 20 * 8 * 4);
            device bad(std::vector<char>(4, 0x7f));
            stream s;
            CHECK_INT(kernel_to_planes(type, 3, 8, 20, KERNEL_TANH, in.at, to.floats(), 12,
                                       (int *)bad.at, s.at),
                      cudaSuccess);
            finish(s.at);
            CHECK(bad.read() == std::vector<char>({12, 0, 0, 0}));
        }
}

void connected_layers_of_vectors_add_up()
{
    emulator_reset(4);
    numbers random = {21};
    const int inputs = 77, outputs = 19;
    const std::vector<float> in = random.whole((size_t)PICTURES * inputs, 3);
    const std::vector<float> weight = random.whole((size_t)inputs * outputs, 3);
    const std::vector<float> bias = random.whole((size_t)outputs, 9);
    device values(in), weights(weight), biases(bias), out((size_t)PICTURES * outputs * 4);
    stream s;
    CHECK_INT(kernel_connected(PICTURES, inputs, outputs, KERNEL_RELU, values.floats(),
                               weights.floats(), biases.floats(), out.floats(), s.at),
              cudaSuccess);
    finish(s.at);
    const std::vector<float> got = out.read_floats();
    for (int n = 0; n < PICTURES; n++)
        for (int o = 0; o < outputs; o++) {
            float want = bias[(size_t)o];
            for (int i = 0; i < inputs; i++)
                want += in[(size_t)n * inputs + i] * weight[(size_t)o * inputs + i];
            CHECK(got[(size_t)n * outputs + o] == std::max(want, 0.0f));
        }
}

struct wide_case {
    int pictures, channels, pixels, outputs;
};

std::vector<float> run_wide(const wide_case &k, kernel_type type, const std::vector<float> &in,
                            const std::vector<float> &weight, int first, int pictures)
{
    const size_t count = (size_t)k.channels * k.pixels;
    struct kernel_connected shape = {};
    shape.type = type;
    shape.channels = k.channels;
    shape.pixels = k.pixels;
    shape.outputs = k.outputs;
    const size_t row = kernel_connected_row_bytes(&shape);
    std::vector<char> packed(row * k.outputs);
    for (int o = 0; o < k.outputs; o++)
        kernel_connected_pack(&shape, &weight[o * count], &packed[o * row]);
    const std::vector<float> own(in.begin() + (long)(first * count),
                                 in.begin() + (long)((first + pictures) * count));
    device values(as_type(type, stored(own, pictures, k.channels, k.pixels))), weights(packed);
    device workspace(kernel_connected_workspace(&shape) * pictures * 4);
    device out((size_t)pictures * k.outputs * 4);
    stream s;
    CHECK_INT(kernel_connected_pictures(&shape, pictures, values.at, weights.at, nullptr,
                                        workspace.floats(), out.floats(), s.at),
              cudaSuccess);
    finish(s.at);
    return out.read_floats();
}

void check_wide(const wide_case &k, kernel_type type)
{
    emulator_reset(6);
    numbers random = {33};
    const size_t count = (size_t)k.channels * k.pixels;
    const std::vector<float> in = random.whole(k.pictures * count, 2);
    const std::vector<float> weight = random.whole(k.outputs * count, 2);
    const std::vector<float> got = run_wide(k, type, in, weight, 0, k.pictures);
    for (int n = 0; n < k.pictures; n++)
        for (int o = 0; o < k.outputs; o++) {
            float want = 0;
            for (size_t i = 0; i < count; i++)
                want += in[n * count + i] * weight[o * count + i];
            CHECK(got[(size_t)n * k.outputs + o] == want);
        }
    const std::vector<float> alone = run_wide(k, type, in, weight, k.pictures - 1, 1);
    CHECK(memcmp(alone.data(), &got[(size_t)(k.pictures - 1) * k.outputs], alone.size() * 4) == 0);
}

void connected_layers_of_pictures_add_up_at_any_batch()
{
    for (kernel_type type : types)
        if (kernel_type_runs(type, ARCH)) {
            check_wide({3, 5, 600, 20}, type);
            check_wide({35, 16, 9, 130}, type);
        }
}

void what_has_no_values_is_an_error_not_a_launch()
{
    struct kernel_norm norm = {};
    struct kernel_apply apply = {};
    struct kernel_connected connected = {};
    emulator_reset(1);
    CHECK_INT(kernel_norm_factors(&norm, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr,
                                  nullptr, nullptr),
              cudaErrorInvalidValue);
    CHECK_INT(kernel_mean(0, 1, 1, nullptr, nullptr, nullptr), cudaErrorInvalidValue);
    CHECK_INT(kernel_apply(&apply, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr),
              cudaErrorInvalidValue);
    CHECK_INT(kernel_connected(0, 1, 1, KERNEL_RELU, nullptr, nullptr, nullptr, nullptr, nullptr),
              cudaErrorInvalidValue);
    CHECK_INT(kernel_connected_pictures(&connected, 1, nullptr, nullptr, nullptr, nullptr, nullptr,
                                        nullptr),
              cudaErrorInvalidValue);
    CHECK_INT(kernel_from_planes(KERNEL_F16, 0, 1, 1, nullptr, nullptr, nullptr),
              cudaErrorInvalidValue);
    CHECK_INT(emulator_launches(), 0);
}

} // namespace

int main()
{
    RUN(factors_normalise_as_the_formulas_say);
    RUN(moments_that_are_no_numbers_name_the_layer);
    RUN(applying_scales_shifts_bends_and_adds);
    RUN(planes_come_back_through_the_activation_as_they_went);
    RUN(a_value_that_is_no_number_names_its_layer);
    RUN(connected_layers_of_vectors_add_up);
    RUN(connected_layers_of_pictures_add_up_at_any_batch);
    RUN(what_has_no_values_is_an_error_not_a_launch);
    return check_report();
}

# SPDX-License-Identifier: MIT
"""Names and shapes of the variables of U-GAT-IT's generator in TensorFlow; the standard library is enough."""


def conv_variables(scope, kernel, inputs, outputs):
    yield f"{scope}/conv2d/kernel", (kernel, kernel, inputs, outputs)
    yield f"{scope}/conv2d/bias", (outputs,)


def variables(ch, blocks, full):
    """Names below the generator's scope, and shapes."""
    inner = 4 * ch
    for scope, norm, kernel, inputs, outputs in (("conv", "ins_norm", 7, 3, ch), ("conv_0", "ins_norm_0", 3, ch, 2 * ch),
                                                 ("conv_1", "ins_norm_1", 3, 2 * ch, inner)):
        yield from conv_variables(scope, kernel, inputs, outputs)
        yield f"{norm}/gamma", (outputs,)
        yield f"{norm}/beta", (outputs,)
    for i in range(blocks):
        for half in ("res1", "res2"):
            yield from conv_variables(f"resblock_{i}/{half}/conv_0", 3, inner, inner)
            yield f"resblock_{i}/{half}/instance_norm/gamma", (inner,)
            yield f"resblock_{i}/{half}/instance_norm/beta", (inner,)
            yield from conv_variables(f"adaptive_resblock{i}/{half}/conv_0", 3, inner, inner)
            yield f"adaptive_resblock{i}/{half}/instance_layer_norm/rho", (inner,)
    yield "CAM_logit/kernel", (inner, 1)
    yield "CAM_logit/bias", (1,)
    yield from conv_variables("conv_1x1", 1, 2 * inner, inner)
    inputs = inner * (full // 4) ** 2 if full else inner
    for name in ("linear_0", "linear_1", "gamma", "beta"):
        yield f"MLP/{name}/dense/kernel", (inputs, inner)
        yield f"MLP/{name}/dense/bias", (inner,)
        inputs = inner
    for i, outputs in enumerate((2 * ch, ch)):
        yield from conv_variables(f"up_conv_{i}", 3, 2 * outputs, outputs)
        for name in ("rho", "gamma", "beta"):
            yield f"layer_ins_norm_{i}/{name}", (outputs,)
    yield from conv_variables("G_logit", 7, ch, 3)

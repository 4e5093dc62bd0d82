"""What layer rows can express, and what to do about a call that they cannot."""

SUPPORTED = (
    "convolution, max, average and global average pooling, ReLU, sigmoid, tanh, batch "
    "normalisation, addition, dropout, flattening and fully connected layers"
)
UNKNOWN = f"is not supported; supported layers: {SUPPORTED}"
DECLARE = "or declare the nearest layer as `layer_row` of its module (docs/predict.md)"
_ADVICE = {
    "try ReLU, sigmoid or tanh in its place": (
        "gelu", "silu", "relu6", "leaky_relu", "prelu", "elu", "celu", "selu", "rrelu", "mish",
        "hardswish", "hardtanh", "hardsigmoid", "softplus", "softsign", "logsigmoid", "glu",
        "threshold", "clamp", "clip", "exp", "log", "abs", "sin", "cos",
    ),
    "try an addition of the branches in its place": (
        "cat", "concat", "concatenate", "stack", "hstack", "sub", "mul", "maximum", "minimum",
    ),
    "try batch normalisation in its place": (
        "layer_norm", "group_norm", "instance_norm", "local_response_norm", "rms_norm", "normalize",
    ),
    "try a stride or a pool in its place": (
        "interpolate", "upsample", "pixel_shuffle", "pixel_unshuffle", "unfold", "fold",
        "conv_transpose2d", "adaptive_max_pool2d", "lp_pool2d", "amax", "max", "chunk", "split",
        "getitem",
    ),
    "flatten channels, height and width in this order": (
        "view", "reshape", "flatten", "linear", "unflatten", "squeeze", "unsqueeze", "permute",
        "transpose", "movedim",
    ),
    "take the mean over height and width": ("mean", "sum", "std", "var"),
    "use nn.Linear in its place": ("matmul", "mm", "addmm", "einsum", "bmm", "baddbmm"),
    "return the logits": ("softmax", "log_softmax"),
}  # fmt: skip
_BY_NAME = {name: advice for advice, names in _ADVICE.items() for name in names}


class Refusal(ValueError):
    """A whole message about a network, to which nothing is to be added."""


def refused(reason: str, name: str) -> str:
    """Return why a call of a function of torch is refused, and what to do about it.

    >>> refused("has groups=2", "conv2d").split(", or")[0]
    'has groups=2; try the network without it'
    """
    return f"{reason}; {_BY_NAME.get(name, 'try the network without it')}, {DECLARE}"

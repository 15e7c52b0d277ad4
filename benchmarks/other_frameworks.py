"""VGG16's bottom in PyTorch, ONNX Runtime and OpenVINO, with the same weights, to compare with.

PyTorch and ONNX Runtime are run on a GPU where they find one, from and to the computer's memory as
the other rows are.
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np

_MEAN_BGR = (103.939, 116.779, 123.68)


def build_rows(
    torch, frames: np.ndarray, vgg16, folder: Path, *, batch_size: int
) -> dict[str, Callable[[], int]]:
    """Returns rows for `stage1_speed`: functions that process all frames and return their number.

    Args:
        torch: The module; PyTorch is no dependency.
        frames: [N, S, S, 3] uint8.
        vgg16: From `backbone.build_vgg16`.
        folder: Where exported models may be written.
        batch_size: Frames at once.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cudnn.allow_tf32 = False  # float32 as the other rows have it
    network = _build_torch(torch, vgg16).eval()
    count = len(frames) // batch_size * batch_size
    pixels = frames[..., ::-1].astype(np.float32) - np.array(_MEAN_BGR, np.float32)
    batches = [
        torch.from_numpy(np.ascontiguousarray(pixels[i : i + batch_size].transpose(0, 3, 1, 2)))
        for i in range(0, count, batch_size)
    ]

    def run_torch(network, batches) -> int:
        with torch.inference_mode():
            for batch in batches:
                network(batch.to(device)).float().cpu().numpy()
        return count

    channels_last = torch.channels_last
    low = _build_torch(torch, vgg16).eval()
    low = low.to(device, torch.bfloat16, memory_format=channels_last)
    low_batches = [x.to(torch.bfloat16).contiguous(memory_format=channels_last) for x in batches]
    rows = {
        "PyTorch, float32": lambda: run_torch(network.to(device), batches),
        "PyTorch, bfloat16, channels last": lambda: run_torch(low, low_batches),
    }
    if all(importlib.util.find_spec(name) for name in ("onnx", "onnxscript")):
        path = folder / "vgg16.onnx"
        torch.onnx.export(network, (batches[0],), str(path), dynamo=True)
        rows |= _build_onnx_rows(path, [x.numpy() for x in batches], count)
    return rows


def _build_torch(torch, vgg16):
    layers = []
    for layer in vgg16.layers:
        if "conv" in layer.name:
            kernel, bias = layer.get_weights()
            convolution = torch.nn.Conv2d(kernel.shape[2], kernel.shape[3], 3, padding=1)
            convolution.weight.data = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())
            convolution.bias.data = torch.from_numpy(bias)
            layers += [convolution, torch.nn.ReLU(inplace=True)]
        elif "pool" in layer.name:
            layers.append(torch.nn.MaxPool2d(2))
    return torch.nn.Sequential(*layers)


def _build_onnx_rows(path: Path, batches: list[np.ndarray], count: int) -> dict:
    rows = {}
    if importlib.util.find_spec("onnxruntime"):
        import onnxruntime

        wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
        providers = [x for x in wanted if x in onnxruntime.get_available_providers()]
        session = onnxruntime.InferenceSession(str(path), providers=providers)
        name = session.get_inputs()[0].name

        def run_onnxruntime() -> int:
            for batch in batches:
                session.run(None, {name: batch})
            return count

        rows["ONNX Runtime, float32"] = run_onnxruntime
    if importlib.util.find_spec("openvino"):
        import openvino

        model = openvino.Core().compile_model(str(path), "CPU")

        def run_openvino() -> int:
            for batch in batches:
                model(batch)
            return count

        # It chooses bfloat16 by itself where the processor has it.
        rows["OpenVINO, its own choice of dtype"] = run_openvino
    return rows

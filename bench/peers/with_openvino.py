# OpenVINO on the same models as ONNX Runtime; inference only.
import openvino

from onnx_model import feeds, model, ways  # noqa: F401 (ways is this peer's, too)

VERSION = openvino.__version__
_threads = 1


def use_threads(count):
    global _threads
    _threads = count


def make(way, task):
    core = openvino.Core()
    options = {"INFERENCE_NUM_THREADS": _threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(model(way, task)), "CPU", options)
    request, given = compiled.create_infer_request(), feeds(task)
    tensors = []
    for value in compiled.inputs:
        name = next(name for name in value.names if name in given)
        tensors.append(openvino.Tensor(given[name].copy()))
        request.set_tensor(value, tensors[-1])

    def run():
        request.infer()
        return [request.get_output_tensor(i).data for i in range(len(compiled.outputs))]
    return run

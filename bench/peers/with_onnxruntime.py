# ONNX Runtime: its LSTM, GRU and RNN, a Scan of the cell, and one step; inference only.
import numpy
import onnxruntime

from onnx_model import feeds, model, ways  # noqa: F401 (ways is this peer's, too)

VERSION = onnxruntime.__version__
_threads = 1


def use_threads(count):
    global _threads
    _threads = count


def make(way, task):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = _threads, 1, 3
    session = onnxruntime.InferenceSession(model(way, task), options, providers=["CPUExecutionProvider"])
    binding, given = session.io_binding(), feeds(task)
    kept = []  # the binding holds addresses only
    for value in session.get_inputs():
        kept.append(numpy.ascontiguousarray(given[value.name]))
        binding.bind_cpu_input(value.name, kept[-1])
    results = [numpy.empty(value.shape, numpy.float32) for value in session.get_outputs()]
    for value, array in zip(session.get_outputs(), results):
        binding.bind_output(value.name, "cpu", 0, numpy.float32, array.shape, array.ctypes.data)

    def run():
        session.run_with_iobinding(binding)
        return results if kept else []
    return run

// Samples: elementwise rows from their signatures, the others written down.
#include "tests/ir/samples.h"

#include <fmt/format.h>

#include "ir/graph/parser.h"

namespace calque::test {

const char* const kCellText =
    R"(graph @cell(%x: f32[16,256], %w: f32[256,1024], %b: f32[1024]) -> (f32[16,256], f32[16,256]) {
  %0 = matmul %x, %w : f32[16,1024]
  %1 = add %0, %b : f32[16,1024]
  %2 = split %1 {parts = 4, axis = 1} : (f32[16,256], f32[16,256], f32[16,256], f32[16,256])
  %3 = full {value = 0.5, dtype = f32, shape = []} : f32[]
  %4 = fusion %2.0, %3 {domain = 1, rows = 16, columns = 256} : (f32[16,256], f32[16,256]) (%x0: f32[16,256], %x1: f32[]) {
    %0 = mul %x0, %x1 : f32[16,256]
    %1 = tanh %0 : f32[16,256]
    return %0, %1
  }
  return %4.0, %4.1
}
)";

namespace {

struct Sample {
  Op op;
  const char* text;  // signature and block, without `graph @sample`
};

const Sample kSamples[] = {
    {Op::full,
     "() -> f32[2,3] { %0 = full {value = 0.1, dtype = f32, shape = [2, 3]} : f32[2,3] return %0 }"},
    {Op::full, "() -> bool[] { %0 = full {value = 1, dtype = bool, shape = []} : bool[] return %0 }"},
    {Op::full, "() -> f64[1] { %0 = full {value = -inf, dtype = f64, shape = [1]} : f64[1] return %0 }"},
    {Op::full, "() -> i64[0] { %0 = full {value = nan, dtype = i64, shape = [0]} : i64[0] return %0 }"},
    {Op::arange, "() -> i32[5] { %0 = arange {stop = 5, dtype = i32} : i32[5] return %0 }"},
    {Op::cast, "(%x: f32[3]) -> i64[3] { %0 = cast %x {dtype = i64} : i64[3] return %0 }"},
    {Op::cast, "(%x: bool[3]) -> f64[3] { %0 = cast %x {dtype = f64} : f64[3] return %0 }"},
    {Op::reshape, "(%x: f32[2,3]) -> f32[3,2] { %0 = reshape %x {shape = [3, 2]} : f32[3,2] return %0 }"},
    {Op::reshape, "(%x: f32[2,3]) -> f32[6] { %0 = reshape %x {shape = [-1]} : f32[6] return %0 }"},
    {Op::detach, "(%x: f32[2]) -> f32[2] { %0 = detach %x : f32[2] return %0 }"},
    {Op::permute,
     "(%x: i32[2,3,4]) -> i32[4,2,3] { %0 = permute %x {axes = [2, 0, 1]} : i32[4,2,3] return %0 }"},
    {Op::expand,
     "(%x: f32[3,1]) -> f32[2,3,4] { %0 = expand %x {shape = [2, 3, 4]} : f32[2,3,4] return %0 }"},
    {Op::slice,
     "(%x: f32[4,3]) -> f32[2,3] { %0 = slice %x {axis = 0, start = -3, stop = -1} : f32[2,3] return %0 }"},
    {Op::split,
     "(%x: f32[4,2]) -> f32[2,2] { %0 = split %x {parts = 2, axis = 0} : (f32[2,2], f32[2,2]) return %0.1 }"},
    {Op::split, "(%x: f32[4]) -> f32[4] { %0 = split %x {parts = 1, axis = -1} : f32[4] return %0 }"},
    {Op::pad,
     "(%x: f64[2,2]) -> f64[2,5] { %0 = pad %x {axis = 1, before = 1, after = 2} : f64[2,5] return %0 }"},
    {Op::concat,
     "(%x: i64[1,2], %y: i64[2,2]) -> i64[4,2] { %0 = concat %x, %y, %x {axis = 0} : i64[4,2] return %0 }"},
    {Op::sum,
     "(%x: f32[2,3]) -> f32[2,1] { %0 = sum %x {keepdim = true, axes = [-1]} : f32[2,1] return %0 }"},
    {Op::sum, "(%x: i32[2,3]) -> i32[] { %0 = sum %x {keepdim = false, axes = []} : i32[] return %0 }"},
    {Op::max, "(%x: f32[2,3]) -> f32[3] { %0 = max %x {keepdim = false, axes = [0]} : f32[3] return %0 }"},
    {Op::min, "(%x: i64[2,3]) -> i64[2] { %0 = min %x {keepdim = false, axes = [1]} : i64[2] return %0 }"},
    {Op::prod, "(%x: f64[2,3]) -> f64[] { %0 = prod %x {keepdim = false, axes = []} : f64[] return %0 }"},
    {Op::every, "(%x: f32[2,7]) -> f32[2,3] { %0 = every %x {axis = -1, step = 3} : f32[2,3] return %0 }"},
    {Op::flip, "(%x: bool[2,3]) -> bool[2,3] { %0 = flip %x {axes = [1, 0]} : bool[2,3] return %0 }"},
    {Op::gather, "(%x: f32[5,2], %i: i32[3,2]) -> f32[3,2] { %0 = gather %x, %i {axis = 0} : f32[3,2] return %0 }"},
    {Op::scatter_add,
     "(%x: f32[3,2], %i: i64[3,2]) -> f32[5,2] { %0 = scatter_add %x, %i {axis = 0, size = 5} : f32[5,2] return %0 }"},
    {Op::var,
     "(%x: f32[2,3]) -> f32[2] { %0 = var %x {keepdim = false, correction = 1, axes = [1]} : f32[2] return %0 }"},
    {Op::std,
     "(%x: f32[2,3]) -> f32[2,1] { %0 = std %x {keepdim = true, correction = 0, axes = [1]} : f32[2,1] return %0 }"},
    {Op::logsumexp, "(%x: f32[2,3]) -> f32[] { %0 = logsumexp %x {keepdim = false, axes = []} : f32[] return %0 }"},
    {Op::any, "(%x: f32[2,3]) -> bool[2] { %0 = any %x {keepdim = false, axes = [1]} : bool[2] return %0 }"},
    {Op::all, "(%x: bool[2,3]) -> bool[] { %0 = all %x {keepdim = false, axes = []} : bool[] return %0 }"},
    {Op::argmin, "(%x: i32[2,3]) -> i64[3] { %0 = argmin %x {axis = 0} : i64[3] return %0 }"},
    {Op::clamp, "(%x: f32[4]) -> f32[4] { %0 = clamp %x {low = -0.5, high = inf} : f32[4] return %0 }"},
    {Op::gelu_erf, "(%x: f64[4]) -> f64[4] { %0 = gelu_erf %x : f64[4] return %0 }"},
    {Op::one_hot, "(%x: i64[4]) -> f32[4,3] { %0 = one_hot %x {classes = 3, dtype = f32} : f32[4,3] return %0 }"},
    {Op::index_select,
     "(%x: f32[2,5,3], %i: i32[4]) -> f32[2,4,3] { %0 = index_select %x, %i {axis = 1} : f32[2,4,3] return %0 }"},
    {Op::mse_loss, "(%x: f32[2,3], %y: f32[2,3]) -> f32[] { %0 = mse_loss %x, %y : f32[] return %0 }"},
    {Op::binary_cross_entropy_with_logits,
     "(%x: f64[4], %y: f64[4]) -> f64[] { %0 = binary_cross_entropy_with_logits %x, %y : f64[] return %0 }"},
    {Op::matmul,
     "(%x: f32[4,1,2,3], %y: f32[5,3,2]) -> f32[4,5,2,2] { %0 = matmul %x, %y : f32[4,5,2,2] return %0 }"},
    {Op::argmax, "(%x: f32[2,3]) -> i64[2] { %0 = argmax %x {axis = 1} : i64[2] return %0 }"},
    {Op::matmul, "(%x: f64[2,3], %y: f64[3,4]) -> f64[2,4] { %0 = matmul %x, %y : f64[2,4] return %0 }"},
    {Op::take, "(%x: f32[5,2], %i: i32[3]) -> f32[3,2] { %0 = take %x, %i : f32[3,2] return %0 }"},
    {Op::index_add,
     "(%x: f32[3,2], %i: i64[3]) -> f32[5,2] { %0 = index_add %x, %i {rows = 5} : f32[5,2] return %0 }"},
    {Op::mean, "(%x: f32[2,3]) -> f32[2] { %0 = mean %x {keepdim = false, axes = [1]} : f32[2] return %0 }"},
    {Op::softmax, "(%x: f32[2,3]) -> f32[2,3] { %0 = softmax %x {axis = -1} : f32[2,3] return %0 }"},
    {Op::log_softmax, "(%x: f64[2,3]) -> f64[2,3] { %0 = log_softmax %x {axis = 0} : f64[2,3] return %0 }"},
    {Op::layer_norm,
     "(%x: f32[2,8]) -> f32[2,8] { %0 = layer_norm %x {epsilon = 1e-05} : f32[2,8] return %0 }"},
    {Op::silu, "(%x: f32[4]) -> f32[4] { %0 = silu %x : f32[4] return %0 }"},
    {Op::gelu, "(%x: f64[4]) -> f64[4] { %0 = gelu %x : f64[4] return %0 }"},
    {Op::cross_entropy,
     "(%x: f32[2,3], %t: i64[2]) -> f32[] { %0 = cross_entropy %x, %t : f32[] return %0 }"},
    {Op::rand, "(%s: i64[2]) -> f64[3] { %0 = rand %s {dtype = f64, shape = [3]} : f64[3] return %0 }"},
    {Op::randn, "(%s: i64[2]) -> f32[2,3] { %0 = randn %s {dtype = f32, shape = [2, 3]} : f32[2,3] return %0 }"},
    {Op::randint,
     "(%s: i64[2]) -> i64[] { %0 = randint %s {low = -3, high = 7, shape = []} : i64[] return %0 }"},
    {Op::dropout, "(%x: f32[2,3], %s: i64[2]) -> f32[2,3] { %0 = dropout %x, %s {p = 0.1} : f32[2,3] return %0 }"},
    {Op::loop,
     "(%h: f32[2], %xs: f32[5,2], %w: f32[2]) -> (f32[2], f32[5,2]) { %0 = loop %h, %xs, %w {length = 5, carried = 1, "
     "scanned = 1, reverse = true} : (f32[2], f32[5,2]) (%h: f32[2], %x: f32[2], %w: f32[2]) { %0 = mul %h, %w : f32[2] "
     "%1 = add %0, %x : f32[2] return %1, %0 } return %0.0, %0.1 }"},
    {Op::grad,
     "(%x: f32[2], %g: f32[2]) -> (f32[2], f32[2]) { %0 = exp %x : f32[2] %1 = mul %0, %x : f32[2] %2 = grad %1, %g, %x, %0 "
     "{outputs = 1, create_graph = false} : (f32[2], f32[2]) return %2.0, %2.1 }"},
    {Op::fusion,
     "(%x: f32[2,3]) -> f32[2,1] { %0 = fusion %x {domain = 1, rows = 2, columns = 3} : f32[2,1] (%x: "
     "f32[2,3]) "
     "{ %0 = exp %x : f32[2,3] %1 = sum %0 {keepdim = true, axes = [1]} : f32[2,1] return %1 } return %0 }"},
    {Op::product_sum,
     "(%x: f32[2,3], %y: f32[3,4], %z: f32[2,1], %w: f32[1,4]) -> f32[2,4] "
     "{ %0 = product_sum %x, %y, %z, %w : f32[2,4] return %0 }"},
};

/// One graph for each dtype that the op takes; the last operand is broadcast.
std::vector<Graph> elementwise_samples(Op op) {
  const OpRow& entry = row(op);
  std::vector<Graph> graphs;
  for (DType dtype : kAllDTypes) {
    if (!accepts(entry.signature, dtype)) continue;
    Graph graph("sample");
    std::vector<ValueId> inputs;
    for (int i = 0; i < entry.inputs; ++i) {
      const bool mask = entry.signature == Signature::select && i == 0;
      const Shape shape = i > 0 && i + 1 == entry.inputs ? Shape{3} : Shape{2, 3};
      inputs.push_back(graph.add_input({mask ? DType::boolean : dtype, shape}));
    }
    graph.set_outputs({graph.add(op, inputs).result()});
    graphs.push_back(std::move(graph));
  }
  return graphs;
}

}  // namespace

std::vector<Graph> sample_graphs(Op op) {
  if (row(op).signature != Signature::none) return elementwise_samples(op);
  std::vector<Graph> graphs;
  for (const Sample& sample : kSamples)
    if (sample.op == op) graphs.push_back(parse(fmt::format("graph @sample{}", sample.text)));
  return graphs;
}

}  // namespace calque::test

// Programs whose arguments change their sizes, dtypes and layouts, or whose shapes come from data.
#include "tests/run/footguns.h"

namespace calque {

namespace {

Program size_one() {
  return {[](const Tensors& in) -> Tensors {
            return {in[0] * in[1] + 1.0, max(in[0] - in[1], {1})};
          },
          [](const Function& f, int call) {
            return f({numbers({call % 2 ? 1 : 4, 9}), numbers({4, call % 3 ? 9 : 1}, call)});
          }};
}

Program sizes_that_meet() {
  return {[](const Tensors& in) -> Tensors {
            return {in[0] + in[1], in[0].shape() == in[1].shape() ? in[0] : in[1]};
          },
          [](const Function& f, int call) {
            return f({numbers({3, 3}, call), call % 2 ? numbers({3}) : numbers({3, 1})});
          }};
}

Program growing() {
  return {[](const Tensors& in) -> Tensors {
            return {softmax(in[0] * 2.0), sum(in[0], {0})};
          },
          [](const Function& f, int call) {
            return f({numbers({2 + call, 5}, call)});
          }};
}

Program smaller_last_batch() {
  return {[](const Tensors& in) -> Tensors {
            return {mean(tanh(matmul(in[0], numbers({9, 4}, 0.1, 0.03))))};
          },
          [](const Function& f, int call) {
            return f({numbers({call % 5 == 4 ? 3 : 8, 9}, call)});
          }};
}

Program other_rank() {
  return {[](const Tensors& in) -> Tensors {
            Tensor y = in[0] + 1.0;
            while (y.rank() > 1) y = sum(y, {0});
            return {y};
          },
          [](const Function& f, int call) {
            const Shape shapes[] = {{3}, {2, 3}, {2, 2, 3}};
            return f({numbers(shapes[call % 3], call)});
          }};
}

Program without_elements() {
  return {[](const Tensors& in) -> Tensors {
            return {tanh(in[0]) + 1.0, sum(in[0], {0}), matmul(in[0], numbers({9, 3})),
                    concat({in[0], in[1]}, 0)};
          },
          [](const Function& f, int call) {
            return f({numbers({call % 2 ? 0 : 3, 9}), numbers({call % 3 ? 2 : 0, 9})});
          }};
}

Program single_numbers() {
  return {[](const Tensors& in) -> Tensors {
            return {in[0] * in[1] + 2.0, sum(in[0]) / in[1]};
          },
          [](const Function& f, int call) {
            return f({call % 2 ? from_value(0.5f * static_cast<float>(call)) : numbers({2}),
                      numbers({}, 1 + call)});
          }};
}

Program other_dtypes() {
  return {[](const Tensors& in) -> Tensors {
            return {in[0] + in[1], maximum(in[0], in[1]) * 3.0};
          },
          [](const Function& f, int call) {
            const DType dtypes[] = {DType::f32, DType::f64, DType::i64, DType::i32};
            Tensors in = two_matrices(call);
            for (Tensor& x : in) x = cast(x * 4.0, dtypes[call % 4]);
            return f(in);
          }};
}

Program other_layouts() {
  return {[](const Tensors& in) -> Tensors {
            return {tanh(in[0] + in[1]) * in[0], from_value(static_cast<int64_t>(in[0].is_contiguous())),
                    in[0].contiguous()};
          },
          [](const Function& f, int call) -> Tensors {
            switch (call % 5) {
              case 0:
                return f({numbers({4, 9}), numbers({4, 9}, call)});
              case 1:
                return f({transpose(numbers({9, 4})), numbers({4, 9}, call)});
              case 2:
                return f({slice(numbers({6, 9}), 0, 1, 5), slice(numbers({4, 20}, call), 1, 3, 12)});
              case 3:
                return f({expand(numbers({9}), {4, 9}), numbers({4, 9}, call)});
              default:
                return f({expand(numbers({4, 1}), {4, 9}), expand(numbers({1, 1}, call), {4, 9})});
            }
          }};
}

Program views_at_other_offsets() {
  return {[](const Tensors& in) -> Tensors {
            return {in[0] + 1.0, matmul(in[0], numbers({2, 16}))};
          },
          [](const Function& f, int call) {
            return f({slice(numbers({10, 10}, 0.3), 1, call % 8, call % 8 + 2)});
          }};
}

Program shape_from_data() {
  return {[](const Tensors& in) -> Tensors {
            const auto n = static_cast<int64_t>(sum(in[0]).item());
            return {zeros({n}), cast(arange(n), DType::f32) * 2.0};
          },
          [](const Function& f, int call) {
            return f({from_vector<float>({1, static_cast<float>(call % 3)})});
          }};
}

Program selection_by_mask() {
  return {[](const Tensors& in) -> Tensors {
            const std::vector<float> mask = cast(in[0] > 0.2, DType::f32).to_vector<float>();
            std::vector<int64_t> rows;
            for (size_t i = 0; i < mask.size(); ++i)
              if (mask[i] != 0) rows.push_back(static_cast<int64_t>(i));
            return {take(in[0], from_vector(rows)) * 2.0};
          },
          [](const Function& f, int call) { return f({numbers({9}, -0.2 * (call % 4))}); }};
}

Program padded_to_one_size() {
  return {[](const Tensors& in) -> Tensors { return {pad(in[0] + 1.0, 1, 0, 10 - in[0].size(1))}; },
          [](const Function& f, int call) {
            return f({slice(numbers({3, 10}, call), 1, 0, 1 + call % 4)});
          }};
}

Program reshaped_by_size() {
  return {[](const Tensors& in) -> Tensors {
            return {reshape(in[0] * 2.0, {in[0].size(0) / 2, -1}), reshape(in[0], {-1})};
          },
          [](const Function& f, int call) {
            return f({numbers({2 + 2 * (call % 3), 6}, call)});
          }};
}

}  // namespace

Footguns footguns_of_shapes() {
  return {
      {"an axis of size 1 that broadcasts in some calls", "keeps the broadcast of the first call",
       PureFate::entered, size_one, 12, 4},
      {"sizes that happen to be equal", "takes equal sizes for one size", PureFate::entered, sizes_that_meet,
       8, 4},
      {"a size that grows in each call", "refuses, or compiles for ever", PureFate::matched, growing, 10, 0},
      {"a smaller last batch", "divides by the first batch size", PureFate::matched, smaller_last_batch, 12,
       5},
      {"another rank", "keeps the first rank", PureFate::entered, other_rank, 9, 3},
      {"arguments without elements", "divides by zero, or runs a loop once", PureFate::matched,
       without_elements, 14, 4},
      {"single numbers as tensors", "bakes them in", PureFate::entered, single_numbers, 8, 4},
      {"other dtypes", "keeps the first dtype", PureFate::entered, other_dtypes, 12, 4},
      {"other layouts", "keeps the first strides", PureFate::matched, other_layouts, 15, 5},
      {"views at other offsets", "keeps the first address", PureFate::matched, views_at_other_offsets, 8, 5},
      {"a shape that comes from data", "bakes it in", PureFate::matched, shape_from_data, 9, 3},
      {"rows chosen by a mask", "keeps the first choice", PureFate::matched, selection_by_mask, 12, 4},
      {"padding up to a fixed size", "pads by the first amount", PureFate::entered, padded_to_one_size, 12,
       4},
      {"a reshape by half a size", "keeps the first size", PureFate::entered, reshaped_by_size, 9, 3},
  };
}

}  // namespace calque

// Programs whose gradients change their ways: modes, flags, graphs that reach across calls, updates inside
// and outside.
#include <memory>
#include <optional>

#include "tests/run/footguns.h"

namespace calque {

namespace {

Tensors product_with_weight(const Tensors& in) { return {tanh(in[0] * in[1]) + in[1]}; }

Program gradients_off_in_some_calls() {
  return {product_with_weight, [](const Function& f, int call) -> Tensors {
            const Tensor x = leaf({4, 9}, 0.1 * call), w = leaf({9});
            if (call % 2) return {no_grad([&] { return f({x, w})[0]; })};
            const Tensor y = f({x, w})[0];
            y.backward(numbers({4, 9}));
            return {y, x.grad(), w.grad()};
          }};
}

Program gradients_off_in_a_part() {
  return {[](const Tensors& in) -> Tensors {
            const Tensor y = tanh(in[0] * in[1]);
            const Tensor scale = no_grad([&] { return max(y * in[1], {1}, true); });
            return {y * scale, scale};
          },
          [](const Function& f, int call) -> Tensors {
            const Tensor x = leaf({4, 9}, 0.1 * call), w = leaf({9});
            const Tensors y = f({x, w});
            sum(y[0]).backward();
            return {y[0], y[1], x.grad(), w.grad()};
          }};
}

Program frozen_and_thawed() {
  auto w = std::make_shared<Tensor>(numbers({9}));
  return {[w](const Tensors& in) -> Tensors { return {sum(tanh(in[0] * *w) + in[0])}; },
          [w](const Function& f, int call) -> Tensors {
            w->set_requires_grad(call % 3 != 1);
            w->clear_grad();
            const Tensor x = leaf({4, 9}, 0.1 * call), y = f({x})[0];
            y.backward();
            return {y, x.grad(), w->grad()};
          }};
}

Program detached_in_some_calls() {
  return {[calls = 0](const Tensors& in) mutable -> Tensors {
            const Tensor y = exp(in[0] * 0.1);
            return {(calls++ % 2 ? y.detach() : y) * in[1]};
          },
          [](const Function& f, int call) -> Tensors {
            const Tensor x = leaf({4, 9}, 0.1 * call), w = leaf({9});
            sum(f({x, w})[0]).backward();
            return {x.grad(), w.grad()};
          }};
}

Program training_step_inside() {
  auto w = std::make_shared<Tensor>(leaf({9, 16}, -0.5, 0.07));
  return {[w](const Tensors& in) -> Tensors {
            const Tensor loss = mean(tanh(matmul(in[0], *w)) * numbers({4, 16}));
            loss.backward();
            no_grad([&] { w->assign_(*w - 0.5 * w->grad()); });
            w->clear_grad();
            return {loss};
          },
          [w](const Function& f, int call) -> Tensors {
            return {f({numbers({4, 9}, 0.1 * call)})[0], w->detach()};
          }};
}

Program rebinding_update_inside() {
  auto w = std::make_shared<Tensor>(leaf({9}, 0.3));
  return {[w](const Tensors& in) -> Tensors {
            const Tensor loss = sum(tanh(in[0] * *w));
            const Tensor outputs[] = {loss}, inputs[] = {*w};
            const Tensor g = grad(outputs, inputs)[0];
            *w = no_grad([&] { return *w - 0.1 * g; });
            w->set_requires_grad();
            return {loss, g};
          },
          [w](const Function& f, int call) -> Tensors {
            const Tensors out = f({numbers({4, 9}, 0.1 * call)});
            return {out[0], out[1], *w};
          }};
}

Program gradients_add_up() {
  auto w = std::make_shared<Tensor>(leaf({9}, 0.3));
  return {[w](const Tensors& in) -> Tensors { return {sum(in[0] * *w)}; },
          [w](const Function& f, int call) -> Tensors {
            f({numbers({4, 9}, call)})[0].backward();
            const Tensor g = w->grad() * 1.0;
            if (call % 4 == 3) w->clear_grad();
            return {g};
          }};
}

Program whether_there_is_a_gradient() {
  auto w = std::make_shared<Tensor>(leaf({9}, 0.3));
  return {[w](const Tensors& in) -> Tensors {
            const Tensor y = in[0] * *w;
            if (w->grad()) return {y + w->grad()};
            return {y};
          },
          [w](const Function& f, int call) -> Tensors {
            const Tensor y = f({numbers({4, 9}, call)})[0];
            if (call % 3 == 0) sum(y).backward();
            if (call % 3 == 2) w->clear_grad();
            return {y, w->grad()};
          }};
}

Program gradient_set_inside() {
  auto w = std::make_shared<Tensor>(leaf({4, 9}, 0.3));
  return {[w](const Tensors& in) -> Tensors {
            w->set_grad(no_grad([&] { return tanh(in[0]) * 2.0; }));
            return {no_grad([&] { return w->grad() + in[1]; })};
          },
          [w](const Function& f, int call) -> Tensors {
            const Tensor y = f(two_matrices(call))[0];
            return {y, w->grad()};
          }};
}

Program recorded_gradients() {
  return {
      [](const Tensors& in) -> Tensors { return {tanh(matmul(in[0], in[1])) * 2.0 + sum(in[0], {1}, true)}; },
      [](const Function& f, int call) -> Tensors {
        const Tensor x = leaf({4, 9}, 0.1 * call), w = leaf({9, 5}, 0.1, 0.03);
        const Tensor outputs[] = {sum(f({x, w})[0] * numbers({4, 5}))}, inputs[] = {x, w};
        const Tensors first = grad(outputs, inputs, {.create_graph = true});
        const Tensor again[] = {sum(first[0] * first[0]) + sum(first[1])};
        const Tensors second = grad(again, inputs);
        return {first[0].detach(), first[1].detach(), second[0], second[1]};
      }};
}

Program only_one_output_differentiated() {
  return {[](const Tensors& in) -> Tensors {
            return {in[0] * 2.0, log(in[0]), sqrt(in[0]) / in[0], in[0] * in[0]};
          },
          [](const Function& f, int call) -> Tensors {
            const Tensor x = from_vector<float>({0, 1, -0.0f, 2}).set_requires_grad();
            const Tensors y = f({x});
            sum(y[call % 2 ? 0 : 3] * y[0]).backward();
            return {x.grad()};
          }};
}

Program written_before_backward() {
  return {[](const Tensors& in) -> Tensors { return {exp(in[0]) * in[1]}; },
          [](const Function& f, int call) -> Tensors {
            Tensor x = leaf({4, 9}, 0.05 * call), w = leaf({4, 9}, 0.3), y = f({x, w})[0];
            no_grad([&] { (call % 3 == 0 ? x : call % 3 == 1 ? w : y).assign_(numbers({4, 9}, 5)); });
            try {
              sum(y).backward();
            } catch (const UserError&) {
              return {from_value(int64_t{1})};
            }
            return {x.grad(), w.grad()};
          }};
}

Program history_through_calls() {
  auto h = std::make_shared<Tensor>(zeros({4, 9}));
  return {[h](const Tensors& in) -> Tensors {
            *h = tanh(*h + in[0] * in[1]);
            return {*h};
          },
          [h](const Function& f, int call) -> Tensors {
            const Tensor w = leaf({9}, 0.2);
            for (int t = 0; t < 3; ++t) f({numbers({4, 9}, 0.1 * t + call), w});
            sum(*h).backward();
            if (call % 2) *h = h->detach();  // truncated here, in other calls it reaches further back
            return {*h, w.grad()};
          }};
}

Program backward_through_a_part_first() {
  return {[](const Tensors& in) -> Tensors {
            const Tensor y = exp(in[0] * 0.3);
            return {y * y, y};
          },
          [](const Function& f, int call) -> Tensors {
            const Tensor x = leaf({4, 9}, 0.1 * call);
            const Tensors y = f({x});
            y[1].backward(numbers({4, 9}));
            const Tensor first = x.grad();
            y[0].backward(numbers({4, 9}));
            return {first, x.grad()};
          }};
}

Program backward_in_the_middle() {
  return {[](const Tensors& in) -> Tensors {
            const Tensor y = tanh(in[0] * in[1]);
            sum(y * y).backward();
            const Tensor g = in[1].grad() * 1.0;
            return {y * g, g};
          },
          [](const Function& f, int call) -> Tensors {
            const Tensor x = numbers({4, 9}, 0.1 * call), w = leaf({9}, 0.2);
            const Tensors y = f({x, w});
            sum(y[0]).backward();
            return {y[0], y[1], w.grad()};
          }};
}

Program same_leaf_twice() {
  return {product_with_weight, [](const Function& f, int call) -> Tensors {
            const Tensor a = leaf({4, 9}, 0.1 * call), b = leaf({4, 9}, 0.5);
            sum(f({a, call % 2 ? a : b})[0]).backward();
            return {a.grad(), b.grad()};
          }};
}

Program leaf_made_inside() {
  return {[](const Tensors& in) -> Tensors {
    Tensor w = in[0] * 2.0;
    w.set_requires_grad();
    const Tensor y = sum(w * w * in[1]);
    y.backward();
    return {y, w.grad()};
  }};
}

}  // namespace

Footguns footguns_of_gradients() {
  return {
      {"gradients off in some calls", "keeps the mode of the first call", PureFate::entered,
       gradients_off_in_some_calls, 9, 5},
      {"gradients off in a part", "differentiates the part", PureFate::entered, gradients_off_in_a_part},
      {"a parameter frozen and thawed", "keeps its first state", PureFate::matched, frozen_and_thawed, 12, 4},
      {"detach() in some calls", "cuts always, or never", PureFate::reported, detached_in_some_calls, 8, 4},
      {"a training step inside", "updates the weights of the trace", PureFate::matched, training_step_inside,
       8, 4},
      {"an update that rebinds the parameter", "goes on with the first one", PureFate::matched,
       rebinding_update_inside, 8},
      {"gradients that add up over calls", "replaces them", PureFate::matched, gradients_add_up, 9},
      {"whether there is a gradient", "bakes the answer in", PureFate::matched, whether_there_is_a_gradient,
       9, 3},
      {"a gradient set inside", "leaves a placeholder in it", PureFate::matched, gradient_set_inside},
      {"gradients that are recorded themselves", "cannot differentiate its backward pass", PureFate::entered,
       recorded_gradients},
      {"only one of several outputs differentiated", "turns absent gradients into NaN", PureFate::entered,
       only_one_output_differentiated, 8},
      {"a saved tensor written before backward()", "differentiates with the new elements", PureFate::entered,
       written_before_backward, 9},
      {"history that reaches through calls", "cuts it at the call", PureFate::matched, history_through_calls,
       8},
      {"backward through a part first", "frees what the second pass needs", PureFate::entered,
       backward_through_a_part_first},
      {"backward() in the middle", "records the backward pass as part of the function", PureFate::matched,
       backward_in_the_middle},
      {"one leaf as two arguments", "adds its gradient once", PureFate::entered, same_leaf_twice, 8},
      {"a leaf made inside", "takes it for an intermediate", PureFate::matched, leaf_made_inside},
  };
}

}  // namespace calque

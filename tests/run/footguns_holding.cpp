// Programs about who holds what: kept intermediates, rebound captures, results that are arguments, results
// fed back.
#include <deque>
#include <map>
#include <memory>
#include <string>

#include "tests/run/footguns.h"

namespace calque {

namespace {

Program pushed_into_a_vector() {
  return {[kept = Tensors{}, calls = 0](const Tensors& in) mutable -> Tensors {
    const Tensor y = in[0] * in[1], z = tanh(y), w = z + 1.0;
    if (calls % 3 != 1) kept.push_back(y);
    if (calls % 4 == 3) kept.push_back(w);
    if (++calls % 5 == 0) kept.erase(kept.begin());
    Tensors all = kept;
    all.push_back(exp(w));
    return all;
  }};
}

Program rebound_parameter() {
  return {[w = numbers({9}), calls = 0](const Tensors& in) mutable -> Tensors {
    const Tensor y = cast(in[0] * cast(w, DType::f32) + in[1], DType::f64);
    switch (++calls % 6) {
      case 1:
        w = numbers({9}, 0.5);
        break;
      case 2:
        w = numbers({4, 9}, 0.1);
        break;
      case 3:
        w = cast(numbers({9}, 2), DType::f64);
        break;
      case 4:
        w = transpose(numbers({9, 4}, 0.3));
        break;
      case 5:
        w = from_value(3.0f);
        break;
      default:
        w = slice(numbers({18}, 0.2), 0, 4, 13);
        break;
    }
    return {y};
  }};
}

Program average_that_holds_the_old_parameter() {
  struct State {
    Tensor w = numbers({4, 9}, 0.3), average = w;  // one tensor, at first
  };
  auto state = std::make_shared<State>();
  return {[state](const Tensors& in) -> Tensors {
    state->w = state->w - 0.1 * in[0];
    const Tensor before = state->average * 1.0;
    state->average = state->average * 0.9 + state->w * 0.1;
    return {before, state->average, state->w};
  }};
}

Program average_written_in_place() {
  struct State {
    Tensor w = numbers({4, 9}, 0.3), average = w * 1.0, oldest = w;
  };
  auto state = std::make_shared<State>();
  return {[state](const Tensors& in) -> Tensors {
    state->average.assign_(state->average * 0.9 + state->w * 0.1);
    state->w.assign_(state->w - 0.1 * in[0]);
    return {state->average * 1.0, state->w, state->oldest};
  }};
}

Program exchanged_buffers() {
  return {[front = numbers({4, 9}), back = numbers({4, 9}, 2)](const Tensors& in) mutable -> Tensors {
    back = tanh(front + in[0]);
    std::swap(front, back);
    return {front * in[1], back};
  }};
}

Program outputs_that_are_inputs() {
  return {[calls = 0](const Tensors& in) mutable -> Tensors {
            const Tensor y = in[0] + 1.0;
            return ++calls % 2 ? Tensors{in[1], in[0], in[1], y} : Tensors{in[0], in[0], y, y};
          },
          [](const Function& f, int call) {
            const Tensors in = two_matrices(call);
            Tensors all = f(in);
            for (size_t i = 0, n = all.size(); i < n; ++i)
              for (const Tensor& other : in)
                all.push_back(from_value(static_cast<int64_t>(all[i].is_same(other))));
            all.push_back(from_value(static_cast<int64_t>(all[2].is_same(all[3]))));
            return all;
          }};
}

Program view_of_an_input() {
  return {[](const Tensors& in) -> Tensors {
            return {transpose(in[0]), slice(in[0], 0, 1, 3), in[0] * in[1]};
          },
          [](const Function& f, int call) {
            Tensors in = two_matrices(call), out = f(in);
            in[0].assign_(in[0] + 5.0);  // seen through the views
            out[1].assign_(out[1] * 2.0);
            out.push_back(in[0]);
            return out;
          }};
}

Program results_are_kept() {
  auto kept = std::make_shared<Tensors>();
  return {[](const Tensors& in) -> Tensors {
            return {sum(in[0], {1}), in[0] * in[1]};
          },
          [kept](const Function& f, int call) {
            for (const Tensor& t : f(two_matrices(call))) kept->push_back(t);
            return *kept;
          }};
}

Program results_are_written() {
  return {[](const Tensors& in) -> Tensors {
            return {in[0] * in[1], exp(in[0])};
          },
          [](const Function& f, int call) {
            const Tensors in = two_matrices(call);
            Tensors first = f(in);
            first[0].assign_(zeros({4, 9}));
            first[1].mutable_data<float>()[3] = 7;
            Tensors second = f(in);
            second.insert(second.end(), first.begin(), first.end());
            return second;
          }};
}

Program fed_back() {
  auto state = std::make_shared<Tensor>();
  return {[](const Tensors& in) -> Tensors {
            const Tensor y = in[0] + 1.0;
            return {y * 2.0 - matmul(y, numbers({9, 9}, 0.1, 0.01))};
          },
          [state](const Function& f, int call) -> Tensors {
            if (call % 4 == 0) *state = numbers({4, 9}, 10 + call);  // a new sequence
            *state = f({*state})[0];
            return {*state};
          }};
}

Program shift_register() {
  auto buffer = std::make_shared<Tensor>(numbers({5, 3}));
  return {[](const Tensors& in) -> Tensors {
            const Tensor shifted = concat({slice(in[0], 0, 1, 5), in[1]}, 0);
            return {shifted, slice(shifted, 0, 0, 1)};
          },
          [buffer](const Function& f, int call) {
            const Tensors out = f({*buffer, numbers({1, 3}, 10 * call)});
            *buffer = out[0];
            return out;
          }};
}

Program window_of_past_results() {
  return {[past = std::deque<Tensor>()](const Tensors& in) mutable -> Tensors {
    past.push_back(tanh(in[0] + in[1]));
    if (past.size() > 3) past.pop_front();
    Tensor total = past[0];
    for (size_t i = 1; i < past.size(); ++i) total = total + past[i] * 0.5;
    return {total, past.front()};
  }};
}

Program only_a_piece_is_kept() {
  return {[kept = Tensor()](const Tensors& in) mutable -> Tensors {
    const Tensor before = kept ? kept * 2.0 : in[0];
    kept = split<3>(in[0] + in[1], 1)[1];
    return {before};
  }};
}

Program named_tensors() {
  return {[named = std::map<std::string, Tensor>(), calls = 0](const Tensors& in) mutable -> Tensors {
    named["call " + std::to_string(calls++ % 3)] = in[0] * in[1];
    Tensor total = in[0];
    for (const auto& [name, tensor] : named) total = total + tensor;
    return {total};
  }};
}

struct Model {
  Tensor weight;
  Tensor forward(const Tensor& x) const { return tanh(x * weight); }
};

Program one_function_for_two_models() {
  auto models =
      std::make_shared<std::vector<Model>>(std::vector<Model>{{numbers({9}, 2)}, {numbers({9}, 3)}});
  auto which = std::make_shared<int>(0);
  return {[models, which](const Tensors& in) -> Tensors { return {(*models)[*which].forward(in[0])}; },
          [which](const Function& f, int call) {
            *which = call / 2 % 2;
            return drive_on_two_matrices(f, call);
          }};
}

Program parameter_replaced_inside() {
  auto model = std::make_shared<Model>(Model{numbers({9}, 0.4)});
  return {[model](const Tensors& in) -> Tensors {
    const Tensor y = model->forward(in[0]);
    model->weight = model->weight / (1.0 + sum(model->weight * model->weight));
    return {y + model->forward(in[1]), model->weight};
  }};
}

Program result_out_of_an_argument() {
  auto out = std::make_shared<Tensor>();
  return {[out](const Tensors& in) -> Tensors {
            *out = in[0] * in[1];
            const Tensor& alias = *out;
            *out = alias + 1.0;
            return {};
          },
          [out](const Function& f, int call) -> Tensors {
            f(two_matrices(call));
            return {*out};
          }};
}

Program the_same_argument_twice() {
  return {[](const Tensors& in) -> Tensors {
            return {in[0] * 2.0 + in[1] * in[0], concat({in[0], in[1], in[0]}, 0)};
          },
          [](const Function& f, int call) {
            const Tensor a = numbers({4, 9}, call), b = numbers({4, 9}, 0.4);
            return call % 3 == 1 ? f({a, b}) : f({a, a});
          }};
}

Program fewer_arguments() {
  return {[](const Tensors& in) -> Tensors {
            Tensor total = in[0];
            for (size_t i = 1; i < in.size(); ++i) total = total * 0.5 + in[i];
            return {total};
          },
          [](const Function& f, int call) {
            Tensors in;
            for (int i = 0; i < 1 + call % 4; ++i) in.push_back(numbers({4}, i + call));
            return f(in);
          }};
}

Program kept_beyond_the_function() {
  auto kept = std::make_shared<Tensor>();
  return {[kept](const Tensors& in) -> Tensors {
            *kept = transpose(exp(in[0]) + in[1]);
            return {in[0] * 2.0};
          },
          [kept](const Function& f, int call) -> Tensors {
            const Tensors out = f(two_matrices(call));
            return {out[0], *kept + transpose(out[0])};
          }};
}

}  // namespace

Footguns footguns_of_holding() {
  return {
      {"intermediates pushed into a captured vector",
       "leaves placeholders in it, or keeps those of the trace", PureFate::matched, pushed_into_a_vector, 12,
       8},
      {"a rebound parameter", "keeps reading the first tensor", PureFate::matched, rebound_parameter, 20, 5},
      {"an average that holds the old parameter", "reads the new parameter through it", PureFate::matched,
       average_that_holds_the_old_parameter},
      {"an average written in place", "reorders the writes", PureFate::matched, average_written_in_place},
      {"two buffers that are exchanged", "keeps the roles of the first call", PureFate::matched,
       exchanged_buffers, 8},
      {"outputs that are inputs", "copies them, or hands out the first call's", PureFate::reported,
       outputs_that_are_inputs, 8},
      {"a view of an input returned, and then written", "returns a copy", PureFate::entered,
       view_of_an_input},
      {"all results kept", "reuses the buffer of an earlier result", PureFate::entered, results_are_kept},
      {"results written by the caller", "hands the written buffer out again", PureFate::entered,
       results_are_written},
      {"results fed back, then a new sequence", "takes the address of the output for that of the input",
       PureFate::matched, fed_back, 10, 6},
      {"a shift register", "reads elements that it has overwritten", PureFate::entered, shift_register, 8},
      {"a window of past results", "freezes the window", PureFate::matched, window_of_past_results, 10, 3},
      {"a piece that outlives the whole", "frees or omits the piece", PureFate::matched,
       only_a_piece_is_kept},
      {"tensors under names that appear later", "keeps the names of the first call", PureFate::matched,
       named_tensors, 9, 3},
      {"one function for two models", "uses the weights of the first one", PureFate::matched,
       one_function_for_two_models, 9},
      {"a parameter replaced inside the function", "reads the old one", PureFate::matched,
       parameter_replaced_inside},
      {"a result put where the caller looks", "returns only what `return` names", PureFate::matched,
       result_out_of_an_argument},
      {"the same tensor as two arguments", "takes them for one, or refuses", PureFate::entered,
       the_same_argument_twice, 9, 4},
      {"more and fewer arguments", "keeps their first number", PureFate::entered, fewer_arguments, 12, 5},
      {"an intermediate that outlives the call", "leaves a placeholder", PureFate::matched,
       kept_beyond_the_function},
  };
}

}  // namespace calque

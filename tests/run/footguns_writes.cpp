// Programs that write in place: to arguments, captures, views, results, through pointers taken at any time.
#include <memory>

#include "tests/run/footguns.h"

namespace calque {

namespace {

Program aliased_arguments_written() {
  return {[](const Tensors& in) -> Tensors {
            Tensor target = in[1];
            const Tensor y = in[0] * 2.0;
            target.assign_(y + 1.0);
            return {in[0] * y, target};
          },
          [](const Function& f, int call) {
            const Tensor a = numbers({4, 9}, call);
            if (call % 3 == 0) return f({a, numbers({4, 9})});
            return call % 3 == 1 ? f({a, a}) : f({a, reshape(a, {4, 9})});
          }};
}

Program argument_written_and_returned() {
  auto x = std::make_shared<Tensor>(numbers({4, 9}));
  return {[](const Tensors& in) -> Tensors {
            Tensor target = in[0];
            target.assign_(target + 1.0);
            return {target};
          },
          [x](const Function& f, int) -> Tensors {
            return {f({*x})[0], *x};
          }};
}

Program overlapping_views_as_arguments() {
  return {[](const Tensors& in) -> Tensors {
            Tensor target = in[1];
            const Tensor before = in[0] * 3.0;
            target.assign_(tanh(in[0]) + target);
            return {before, in[0] * 1.0, target * 1.0};
          },
          [](const Function& f, int call) {
            const Tensor base = numbers({6, 9}, call);
            Tensors all = f({slice(base, 0, 0, 4), slice(base, 0, call % 3, call % 3 + 4)});
            all.push_back(base);
            return all;
          }};
}

Program state_written_in_the_middle() {
  return {[state = numbers({4, 9}, 0.3)](const Tensors& in) mutable -> Tensors {
    const Tensor before = state * 2.0;
    state.assign_(tanh(in[0] + state));
    const Tensor between = state + before;
    state.assign_(between * 0.5);
    return {before, between, state * 1.0};
  }};
}

Program row_written_from_the_next() {
  return {[](const Tensors& in) -> Tensors {
    Tensor x = in[0];
    const Tensor before = exp(x);
    slice(x, 0, 0, 3).assign_(slice(x, 0, 1, 4));
    return {before, x * 1.0};
  }};
}

Program cache_of_keys() {
  auto cache = std::make_shared<Tensor>(zeros({4, 3}));
  auto position = std::make_shared<int>(0);
  return {[cache, position](const Tensors& in) -> Tensors {
            slice(*cache, 0, *position, *position + 1).assign_(in[0]);
            return {sum(*cache), matmul(*cache, in[1])};
          },
          [position](const Function& f, int call) {
            *position = call % 4;
            return f({numbers({1, 3}, call), numbers({3, 2}, 0.3)});
          }};
}

Program accumulator_of_the_function() {
  return {[](const Tensors& in) -> Tensors {
    Tensor accumulator = zeros({4, 9});
    const Tensor view = slice(accumulator, 1, 0, 3);
    for (int i = 0; i < 3; ++i) accumulator.assign_(accumulator + in[0] * static_cast<double>(i));
    return {accumulator, view};
  }};
}

Program running_statistics() {
  struct Norm {
    Tensor average = zeros({9});
    bool training = true;
  };
  auto norm = std::make_shared<Norm>();
  return {[norm](const Tensors& in) -> Tensors {
            if (!norm->training) return {in[0] - norm->average};
            const Tensor batch = mean(in[0], {0});
            norm->average.assign_(norm->average * 0.9 + batch * 0.1);
            return {in[0] - batch};
          },
          [norm](const Function& f, int call) {
            norm->training = call % 3 != 2;
            Tensors all = drive_on_two_matrices(f, call);
            all.push_back(norm->average);
            return all;
          }};
}

Program pointer_in_the_middle() {
  return {[](const Tensors& in) -> Tensors {
    Tensor x = in[0], y = in[0] + in[1];
    const Tensor early = x * 3.0;
    x.mutable_data<float>()[5] = 42;
    y.mutable_data<float>()[3] = -42;
    return {early, x * y, y};
  }};
}

Program buffer_refilled_between_ops() {
  return {[buffer = numbers({9})](const Tensors& in) mutable -> Tensors {
    Tensor h = in[0];
    float* elements = buffer.mutable_data<float>();
    for (int step = 0; step < 3; ++step) {
      for (int i = 0; i < 9; ++i) elements[i] = static_cast<float>(step * i) + *in[1].data<float>();
      h = tanh(h) + buffer;
    }
    return {h};
  }};
}

Program buffer_refilled_through_an_old_pointer() {
  auto buffer = std::make_shared<Tensor>(numbers({9}));
  float* elements = buffer->mutable_data<float>();
  return {[buffer, elements](const Tensors& in) -> Tensors {
    Tensor h = in[0];
    for (int step = 0; step < 3; ++step) {
      elements[step] += static_cast<float>(step) + 0.5f;
      h = tanh(h) + *buffer;
    }
    return {h, slice(*buffer, 0, 1, 4) * h.size(0)};
  }};
}

Program row_refilled_through_a_pointer_to_the_whole() {
  auto table = std::make_shared<Tensor>(numbers({4, 9}));
  float* elements = table->mutable_data<float>();
  return {[table, elements](const Tensors& in) -> Tensors {
    const Tensor row = select(*table, 0, 2);
    const Tensor first = in[0] * row;
    elements[2 * 9 + 4] += 1;
    const Tensor second = in[0] * row;
    elements[2 * 9 + 5] = -first.size(0);
    return {first, second, row};
  }};
}

Program pointer_of_an_earlier_call() {
  auto state = std::make_shared<std::pair<Tensor, float*>>(numbers({4, 9}), nullptr);
  return {[state](const Tensors& in) -> Tensors {
    const Tensor first = state->first * in[0];
    if (state->second) state->second[7] += 2;
    const Tensor second = state->first + in[1];
    state->second = state->first.mutable_data<float>();
    return {first, second};
  }};
}

Program result_written_through_a_pointer() {
  return {[](const Tensors& in) -> Tensors {
    Tensor y = in[0] * in[1];
    float* elements = y.mutable_data<float>();
    const Tensor first = y + 1.0;
    elements[0] = 17;
    const Tensor second = y + 2.0;
    elements[1] = 18;
    return {first, second, y};
  }};
}

Program weight_written_between_products() {
  return {[w = numbers({9, 32}, -0.5, 0.03)](const Tensors& in) mutable -> Tensors {
    const Tensor first = matmul(in[0], w);
    w.assign_(w * 0.99 + 0.001);
    const Tensor second = matmul(in[1], w);
    return {first + second, matmul(in[0], w)};
  }};
}

Program weight_written_through_another_view() {
  auto all = std::make_shared<Tensor>(numbers({2 * 9 * 32}, -1, 0.013));
  auto w = std::make_shared<Tensor>(reshape(slice(*all, 0, 288, 576), {9, 32}));
  return {[w](const Tensors& in) -> Tensors { return {matmul(in[0], *w)}; },
          [all](const Function& f, int call) {
            Tensors out = drive_on_two_matrices(f, call);
            if (call % 3 == 2) slice(*all, 0, 300, 310).assign_(full({}, call));
            return out;
          }};
}

Program written_in_some_calls() {
  return {[state = numbers({4, 9}), calls = 0](const Tensors& in) mutable -> Tensors {
    const Tensor y = tanh(state) * in[0];
    if (calls++ % 3 == 1) state.assign_(y);
    return {state + y};
  }};
}

Program written_through_detach() {
  auto w = std::make_shared<Tensor>(numbers({4, 9}, 0.2));
  return {[w](const Tensors& in) -> Tensors {
    const Tensor before = *w * in[0];
    Tensor alias = w->detach();
    alias.assign_(before + 1.0);
    return {before, *w * 1.0, alias};
  }};
}

Program versions() {
  return {[](const Tensors& in) -> Tensors {
    Tensor x = in[0];
    x.assign_(x + 1.0);
    x.assign_(x + 1.0);
    const Tensor view = reshape(x, {36}), made = x * 2.0;
    return {from_value(static_cast<int64_t>(view.version())),
            from_value(static_cast<int64_t>(made.version())), view};
  }};
}

}  // namespace

Footguns footguns_of_writes() {
  return {
      {"aliased arguments of which one is written", "reads the old elements through the other",
       PureFate::matched, aliased_arguments_written, 12},
      {"an argument written and returned", "writes to a copy", PureFate::matched,
       argument_written_and_returned},
      {"overlapping views as arguments", "does not know that they overlap", PureFate::matched,
       overlapping_views_as_arguments, 9},
      {"state written in the middle", "reads the new state before it is written", PureFate::matched,
       state_written_in_the_middle, 8, 12},
      {"rows written from the next rows", "copies in the wrong order", PureFate::matched,
       row_written_from_the_next},
      {"a cache of which one row is written", "writes the row of the first call", PureFate::matched,
       cache_of_keys, 10, 5},
      {"an accumulator made in the function", "writes to the accumulator of the trace", PureFate::matched,
       accumulator_of_the_function},
      {"running statistics", "freezes them, or updates them in evaluation", PureFate::matched,
       running_statistics, 12},
      {"elements written through a pointer in the middle", "does not see the write", PureFate::matched,
       pointer_in_the_middle, 6, 8},
      {"a buffer refilled between ops", "reads the last filling for all", PureFate::matched,
       buffer_refilled_between_ops},
      {"a buffer refilled through a pointer taken before", "reads the last filling for all",
       PureFate::matched, buffer_refilled_through_an_old_pointer},
      {"a row refilled through a pointer to the whole", "reads the last filling for all", PureFate::matched,
       row_refilled_through_a_pointer_to_the_whole},
      {"a pointer kept from an earlier call", "reads what is written later", PureFate::matched,
       pointer_of_an_earlier_call},
      {"a result written through a pointer between ops", "reads what is written later", PureFate::matched,
       result_written_through_a_pointer},
      {"a weight written between two products", "uses packed elements that are stale", PureFate::matched,
       weight_written_between_products, 8},
      {"a weight written through another view", "uses packed elements that are stale", PureFate::matched,
       weight_written_through_another_view, 9},
      {"state written in some calls only", "always writes it, or never", PureFate::matched,
       written_in_some_calls, 9},
      {"a parameter written through detach()", "takes the alias for a copy", PureFate::matched,
       written_through_detach},
      {"versions of views", "does not count writes", PureFate::matched, versions},
  };
}

}  // namespace calque

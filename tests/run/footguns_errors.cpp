// Programs that throw and catch, and that call compiled functions in compiled functions.
#include <memory>
#include <stdexcept>

#include "tests/run/footguns.h"

namespace calque {

namespace {

struct Thrown {};

/// Calls the function; a tensor that says whether it threw goes in front of its results.
template <class Error>
Tensors caught(const Function& f, const Tensors& in) {
  try {
    Tensors all = f(in);
    all.insert(all.begin(), from_value(int64_t{0}));
    return all;
  } catch (const Error&) {
    return {from_value(int64_t{1})};
  }
}

Program thrown_at_several_points() {
  auto kept = std::make_shared<Tensors>();
  return {[kept, calls = 0](const Tensors& in) mutable -> Tensors {
            const int point = calls++ * 3 % 5;
            kept->clear();
            const Tensor y = in[0] * in[1];
            kept->push_back(y);
            if (point == 1) throw Thrown();
            const Tensor z = tanh(y);
            kept->push_back(transpose(z));
            if (point == 2) throw Thrown();
            const double first = sum(z).item();
            if (point == 3) throw Thrown();
            kept->push_back(z + first);
            if (point == 4) throw Thrown();
            return {exp(y)};
          },
          [kept](const Function& f, int call) {
            Tensors all = caught<Thrown>(f, two_matrices(call));
            all.insert(all.end(), kept->begin(), kept->end());
            return all;
          }};
}

Program thrown_in_the_first_calls() {
  return {[calls = 0](const Tensors& in) mutable -> Tensors {
            const Tensor y = in[0] + in[1];
            if (calls++ < 2) throw Thrown();
            return {y * 2.0};
          },
          [](const Function& f, int call) { return caught<Thrown>(f, two_matrices(call)); }};
}

Program bad_shape_caught() {
  return {[](const Tensors& in) -> Tensors {
            const Tensor y = in[0] * in[1];
            try {
              return {(y + in[2]) * y};
            } catch (const UserError&) {
              return {(y - 1.0) * y};
            }
          },
          [](const Function& f, int call) {
            Tensors in = two_matrices(call);
            in.push_back(numbers({call % 3 == 0 ? 9 : 5}));
            return f(in);
          }};
}

Program index_of_an_argument_caught() {
  return {[](const Tensors& in) -> Tensors {
            const Tensor y = in[0] * 2.0;
            try {
              return {take(y, in[1])};
            } catch (const UserError&) {
              return {y - 1.0};
            }
          },
          [](const Function& f, int call) {
            return f({numbers({4, 9}), from_vector<int64_t>({0, call % 3 == 2 ? 11 : 3})});
          }};
}

Program index_written_to_be_out_of_range() {
  auto index = std::make_shared<Tensor>(from_vector<int64_t>({0, 1}));
  return {[index](const Tensors& in) -> Tensors {
            const Tensor y = take(in[0], *index);
            index->mutable_data<int64_t>()[1] = 8;
            try {
              return {y, take(in[0], *index)};
            } catch (const UserError&) {
              return {y, y + 1.0};
            }
          },
          [index](const Function& f, int call) {
            index->mutable_data<int64_t>()[1] = call % 4;
            return f(two_matrices(call));
          }};
}

Program row_number_caught() {
  return {[calls = 0](const Tensors& in) mutable -> Tensors {
    const Tensor y = in[0] + 1.0;
    try {
      return {select(y, 0, calls++ % 6)};
    } catch (const UserError&) {
      return {y * in[1]};
    }
  }};
}

Program index_of_the_function_out_of_range() {
  return {[](const Tensors& in) -> Tensors { return {take(in[0], cast(in[1], DType::i64)) + 1.0}; },
          [](const Function& f, int call) {
            return caught<UserError>(f, {numbers({4, 9}, call), full({2}, call % 3 == 2 ? 17 : 3)});
          }};
}

Program computed_index_caught_where_it_is_needed() {
  return {[](const Tensors& in) -> Tensors {
            const Tensor y = in[0] * 2.0;
            double total = -1;
            try {
              total = sum(take(y, cast(in[1], DType::i64))).item();
            } catch (const UserError&) {
            }
            return {y * total, tanh(y)};
          },
          [](const Function& f, int call) {
            return f({numbers({4, 9}, call), full({2}, call % 3 == 2 ? 17 : 3)});
          }};
}

Program unused_index_out_of_range() {
  return {[](const Tensors& in) -> Tensors {
            take(in[0], cast(in[1], DType::i64));
            return {in[0] * 2.0};
          },
          [](const Function& f, int call) {
            return caught<UserError>(f, {numbers({4, 9}, call), full({2}, call % 3 == 2 ? 17 : 3)});
          }};
}

Program ops_while_an_exception_passes() {
  struct Guard {
    Tensors& log;
    Tensor x;
    ~Guard() { log.push_back(x * 3.0 + 1.0); }
  };
  auto log = std::make_shared<Tensors>();
  return {[log, calls = 0](const Tensors& in) mutable -> Tensors {
            const Guard guard{*log, in[0] * in[1]};
            if (calls++ % 2) throw Thrown();
            return {guard.x + 1.0};
          },
          [log](const Function& f, int call) {
            Tensors all = caught<Thrown>(f, two_matrices(call));
            all.push_back(log->back());
            return all;
          }};
}

Program compiled_inside_compiled() {
  auto inner = std::make_shared<Compiled<std::function<Tensor(const Tensor&)>>>(
      compile(std::function<Tensor(const Tensor&)>([](const Tensor& x) { return tanh(x) * 2.0; })));
  return {[inner](const Tensors& in) -> Tensors {
            return {(*inner)(in[0]) + (*inner)(in[1]), exp((*inner)(in[0]))};
          },
          [inner](const Function& f, int call) {
            Tensors all = drive_on_two_matrices(f, call);
            all.push_back((*inner)(all[0]));  // and by itself
            return all;
          }};
}

Program compiled_anew_in_each_call() {
  return {[](const Tensors& in) -> Tensors {
    auto inner = compile([](const Tensor& x) { return exp(x * 0.5); });
    return {inner(inner(in[0])) + in[1]};
  }};
}

Program inner_function_throws() {
  auto calls = std::make_shared<int>(0);
  auto inner = compile([calls](const Tensor& x) {
    const Tensor y = tanh(x);
    if ((*calls)++ % 3 == 1) throw Thrown();
    return y * 2.0;
  });
  return {[inner](const Tensors& in) mutable -> Tensors {
    const Tensor y = in[0] * in[1];
    try {
      return {inner(y)};
    } catch (const Thrown&) {
      return {y};
    }
  }};
}

Program copies_with_state_of_their_own() {
  return {[](const Tensors& in) -> Tensors {
    const auto counting = [calls = 0](const Tensor& x) mutable { return x * static_cast<double>(++calls); };
    auto a = compile(counting), b = a;
    return {a(in[0]) + a(in[0]), b(in[0]), a(in[1])};
  }};
}

}  // namespace

Footguns footguns_of_errors() {
  return {
      {"exceptions at several points", "leaves placeholders in what was kept", PureFate::matched,
       thrown_at_several_points, 25, 5},
      {"an exception in the first calls", "keeps half a trace", PureFate::entered, thrown_in_the_first_calls},
      {"a bad shape that is caught", "skips the handler", PureFate::entered, bad_shape_caught, 12, 4},
      {"an index of an argument out of range, caught", "reads out of bounds, or throws too late",
       PureFate::entered, index_of_an_argument_caught, 9, 3},
      {"an index written to be out of range", "checks the index of the trace", PureFate::matched,
       index_written_to_be_out_of_range, 8},
      {"a row number out of range, caught", "skips the handler", PureFate::reported, row_number_caught, 18,
       6},
      {"an index that was computed, out of range", "reads out of bounds", PureFate::entered,
       index_of_the_function_out_of_range, 9, 3},
      {"an index that was computed, caught where the value is needed",
       "throws again when the function returns", PureFate::matched, computed_index_caught_where_it_is_needed,
       9, 3},
      {"an index out of range in an op that nobody uses", "drops the op and its exception", PureFate::entered,
       unused_index_out_of_range, 9, 3},
      {"ops while an exception passes", "has stopped watching by then", PureFate::matched,
       ops_while_an_exception_passes, 8, 2},
      {"a compiled function in a compiled function", "fails at the second call", PureFate::entered,
       compiled_inside_compiled},
      {"a function compiled anew in each call", "compiles for ever", PureFate::entered,
       compiled_anew_in_each_call},
      {"an inner function that throws", "leaves the outer one half recorded", PureFate::reported,
       inner_function_throws, 9},
      {"copies with state of their own", "shares the state", PureFate::entered,
       copies_with_state_of_their_own},
  };
}

}  // namespace calque

// Programs in which another thread uses, writes or releases what the compiled function works on. Each hands
// over in an order (join, or an atomic) in which the plain program has no race.
#include <atomic>
#include <future>
#include <memory>
#include <thread>

#include "tests/run/footguns.h"

namespace calque {

namespace {

template <class Body>
void in_another_thread(Body body) {
  std::thread(body).join();
}

Program joined_thread_writes_an_input() {
  return {[](const Tensors& in) -> Tensors {
    const Tensor before = in[0] * 2.0;
    in_another_thread([x = in[0]]() mutable { x.assign_(x + 1.0); });
    const Tensor after = in[0] * 2.0;
    return {before, after, before + in[0]};
  }};
}

Program joined_thread_writes_a_view_of_an_input() {
  return {[](const Tensors& in) -> Tensors {
    const Tensor before = matmul(in[0], transpose(in[1]));
    in_another_thread([row = select(in[1], 0, 2)]() mutable { row.assign_(full({}, 3)); });
    return {before, matmul(in[0], transpose(in[1]))};
  }};
}

Program joined_thread_takes_a_pointer() {
  return {[](const Tensors& in) -> Tensors {
    const Tensor before = in[0] + in[1];
    in_another_thread([x = in[0]]() mutable { x.mutable_data<float>()[3] = 99; });
    return {before, in[0] + in[1]};
  }};
}

Program joined_thread_writes_a_capture_in_some_calls() {
  auto state = std::make_shared<Tensor>(numbers({4, 9}, 0.5));
  return {[state, calls = 0](const Tensors& in) mutable -> Tensors {
    const Tensor before = *state * in[0];
    if (calls++ % 3 == 1) in_another_thread([&] { state->assign_(*state * 0.5); });
    return {before, *state + in[1]};
  }};
}

Program placeholder_used_by_another_thread() {
  return {[](const Tensors& in) -> Tensors {
    const Tensor y = in[0] * in[1];
    Tensor z;
    in_another_thread([&] { z = tanh(y) + 1.0; });
    return {y + z, z};
  }};
}

Program placeholder_read_by_another_thread() {
  return {[](const Tensors& in) -> Tensors {
    const Tensor y = in[0] * in[1];
    double total = 0;
    in_another_thread([&] {
      for (float value : y.to_vector<float>()) total += value;
    });
    return {y * total};
  }};
}

Program placeholder_written_by_another_thread() {
  return {[](const Tensors& in) -> Tensors {
    Tensor y = in[0] * in[1];
    const Tensor before = y + 1.0;
    in_another_thread([&] { y.assign_(y * 2.0); });
    return {before, y, y + 1.0};
  }};
}

Program half_of_the_work_elsewhere() {
  return {[](const Tensors& in) -> Tensors {
    const Tensor y = exp(in[0]);
    std::future<Tensor> other = std::async(std::launch::async, [y, x = in[1]] { return sum(y * x, {0}); });
    const Tensor here = tanh(y) * 2.0;
    return {here + other.get()};
  }};
}

Program compiled_function_in_another_thread() {
  auto inner = std::make_shared<Compiled<std::function<Tensor(const Tensor&)>>>(
      compile(std::function<Tensor(const Tensor&)>([](const Tensor& x) { return tanh(x) * 2.0; })));
  return {[inner](const Tensors& in) -> Tensors {
    const Tensor y = in[0] + in[1];
    Tensor z;
    in_another_thread([&] { z = (*inner)(y); });
    return {z * y, (*inner)(z)};
  }};
}

Program released_by_another_thread() {
  return {[](const Tensors& in) -> Tensors {
    Tensor y = in[0];
    Tensors given_away;
    for (int i = 0; i < 8; ++i) {
      y = tanh(y + 1.0);
      given_away.push_back(y * 2.0);
    }
    std::thread releasing([given = std::move(given_away)]() mutable { given.clear(); });
    for (int i = 0; i < 8; ++i) y = y * 0.5;
    releasing.join();
    return {y};
  }};
}

Program writer_that_waits_for_a_flag() {
  return {[](const Tensors& in) -> Tensors {
    std::atomic<int> turn = 0;
    std::thread writer([&turn, x = in[0]]() mutable {
      while (turn.load() != 1) std::this_thread::yield();
      x.assign_(x * 3.0);
      turn.store(2);
    });
    const Tensor before = in[0] + in[1];
    turn.store(1);
    const Tensor elsewhere = exp(in[1]);  // goes on while the other thread writes
    const double total = sum(before).item();
    while (turn.load() != 2) std::this_thread::yield();
    const Tensor after = in[0] + in[1];
    writer.join();
    return {before, after, elsewhere * total};
  }};
}

Program made_by_another_thread() {
  return {[](const Tensors& in) -> Tensors {
    Tensor made;
    in_another_thread([&] { made = tanh(in[0]) + in[1]; });
    return {made * in[0], made};
  }};
}

Program backward_in_another_thread() {
  auto w = std::make_shared<Tensor>(numbers({9}, 0.3).set_requires_grad());
  return {[w](const Tensors& in) -> Tensors { return {sum(tanh(in[0] * *w))}; },
          [w](const Function& f, int call) -> Tensors {
            const Tensor loss = f(two_matrices(call))[0];
            w->clear_grad();
            in_another_thread([&] { loss.backward(); });
            return {loss, w->grad()};
          }};
}

Program called_by_turns_from_two_threads() {
  return {[calls = 0](const Tensors& in) mutable -> Tensors {
            return {in[0] * in[1] + static_cast<double>(calls++ % 2)};
          },
          [](const Function& f, int call) {
            Tensors all;
            if (call % 2)
              in_another_thread([&] { all = drive_on_two_matrices(f, call); });
            else
              all = drive_on_two_matrices(f, call);
            return all;
          }};
}

Program statistics_asked_for_elsewhere() {
  using Inner = Compiled<std::function<Tensor(const Tensor&)>>;
  auto self = std::make_shared<Inner*>(nullptr);
  auto inner = std::make_shared<Inner>(compile(std::function<Tensor(const Tensor&)>([self](const Tensor& x) {
    const Tensor y = tanh(x);
    std::string text;
    in_another_thread([&] { text = (*self)->explain() + std::to_string((*self)->stats().calls); });
    return y + 1.0;
  })));
  *self = inner.get();
  return {[inner](const Tensors& in) -> Tensors { return {in[0] * in[1]}; },
          [inner](const Function& f, int call) -> Tensors { return {(*inner)(f(two_matrices(call))[0])}; }};
}

Program gradient_of_a_placeholder_elsewhere() {
  return {[](const Tensors& in) -> Tensors {
            const Tensor y = tanh(in[0] * in[1]);
            in_another_thread([&] { sum(y).backward(); });
            return {y + 1.0};
          },
          [](const Function& f, int call) -> Tensors {
            const Tensor x = numbers({4, 9}, 0.1 * call).set_requires_grad(),
                         w = numbers({9}, 0.2).set_requires_grad();
            const Tensor y = f({x, w})[0];
            return {y, x.grad(), w.grad()};
          }};
}

}  // namespace

Footguns footguns_of_threads() {
  return {
      {"a joined thread that writes an input", "reads the new elements before they were written",
       PureFate::matched, joined_thread_writes_an_input, 6, 0},
      {"a joined thread that writes a view of an input", "does not see that it is the same memory",
       PureFate::matched, joined_thread_writes_a_view_of_an_input, 6, 0},
      {"a joined thread that takes a writable pointer", "does not see the write", PureFate::matched,
       joined_thread_takes_a_pointer, 6, 0},
      {"a joined thread that writes a capture in some calls", "always expects the write, or never",
       PureFate::matched, joined_thread_writes_a_capture_in_some_calls, 9, 0},
      {"a placeholder used by another thread", "computes with a tensor without elements", PureFate::matched,
       placeholder_used_by_another_thread, 6, 0},
      {"a placeholder read by another thread", "reads a tensor without elements", PureFate::matched,
       placeholder_read_by_another_thread, 6, 0},
      {"a placeholder written by another thread", "writes before it is computed", PureFate::matched,
       placeholder_written_by_another_thread, 6, 0},
      {"half of the work in another thread", "leaves that half out", PureFate::matched,
       half_of_the_work_elsewhere, 20, 0},
      {"a compiled function called in another thread", "mixes two traces", PureFate::matched,
       compiled_function_in_another_thread, 8, 0},
      {"values released by another thread", "frees them under the tracer's feet", PureFate::matched,
       released_by_another_thread, 50, 20},
      {"a writer that waits for a flag", "reads while the other thread writes", PureFate::matched,
       writer_that_waits_for_a_flag, 30, 0},
      {"a tensor made by another thread", "takes it for a constant", PureFate::matched,
       made_by_another_thread},
      {"backward() in another thread", "looks for the tape in the wrong thread", PureFate::matched,
       backward_in_another_thread},
      {"one function called by turns from two threads", "keeps a trace for each thread", PureFate::reported,
       called_by_turns_from_two_threads, 8},
      {"a joined thread that asks for statistics", "waits for itself", PureFate::entered,
       statistics_asked_for_elsewhere},
      {"backward() of a placeholder in another thread", "differentiates a tensor without history",
       PureFate::matched, gradient_of_a_placeholder_elsewhere, 6, 0},
  };
}

}  // namespace calque

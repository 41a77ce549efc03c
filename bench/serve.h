// A line protocol for recurrent workloads, so that one driver (bench/compare.py) can time ours and the peers
// in turns. bench/peers/worker.py speaks the same.
//
//   data CELL B I H T FILE            writes weights, first state and xs [T,B,I];
//                                     -> ok RECURRENT_BYTES INPUT_BYTES, and the FLOPs of each MODE
//   ways CELL MODE                    -> ok WAY ...      MODE is inference, training or training_with_dX
//   setup SLOT WAY CELL MODE FILE     makes a contender and calls it until it is warm -> ok MILLISECONDS
//   results SLOT FILE                 one call, its results into a file -> ok
//   compare FILE FILE                 -> ok DIFFERENCE NAME  (the largest, relative to the largest element)
//   run SLOT N                        -> us T1 T2 ...
//   barrier                           -> ok NANOSECONDS  (ours only: for all threads to meet once, now)
//   drop SLOT                         -> ok
//   quit                              ends, as does the end of the input
//
// What fails is answered by `error REASON`, and the program goes on.
#pragma once

#include <iostream>
#include <map>
#include <sstream>

#include "bench/recurrent.h"

namespace calque::bench {

class Server {
 public:
  explicit Server(What what) : what_(what) {}

  int run() {
    for (std::string line; std::getline(std::cin, line) && line != "quit";) {
      std::string text;
      try {
        std::istringstream words(line);
        text = answer(words);
      } catch (const std::exception& error) {
        text = fmt::format("error {}", error.what());
      }
      fmt::print("{}\n", text);
      std::fflush(stdout);
    }
    return 0;
  }

 private:
  static constexpr int kWarmCalls = 5;  // records, compiles, runs; for a pure function once more each

  struct Slot {
    Way way;
    std::vector<std::string> names;
  };

  template <class... Words>
  static void read(std::istringstream& line, Words&... words) {
    if (!(line >> ... >> words)) throw UserError("a word is missing in: " + line.str());
  }

  Slot& slot(const std::string& name) {
    const auto found = slots_.find(name);
    if (found == slots_.end()) throw UserError("nothing is set up as " + name);
    return found->second;
  }

  std::string answer(std::istringstream& line) {
    std::string command, name, file;
    read(line, command);
    if (command == "data") return make_data(line);
    if (command == "setup") return set_up(line);
    if (command == "run") return time_calls(line);
    if (command == "barrier") return fmt::format("ok {:.1f}", barrier_ns());
    if (command == "ways") return fmt::format("ok {}", fmt::join(way_names(what_), " "));
    read(line, name);
    if (command == "drop") return slots_.erase(name), "ok";
    read(line, file);
    if (command == "compare") return compare(name, file);
    if (command != "results") throw UserError("there is no command " + command);
    manual_seed(1);  // a cell with a dropout draws the same in every way
    const Tensors results = slot(name).way.call();
    NamedTensors named;
    for (size_t i = 0; i < results.size(); ++i) named.emplace_back(slot(name).names.at(i), results[i]);
    save_safetensors(file, named);
    return "ok";
  }

  std::string make_data(std::istringstream& line) const {
    std::string cell, file;
    int64_t batch, inputs, hidden, steps;
    read(line, cell, batch, inputs, hidden, steps, file);
    const Data data = Data::make(find_network(cell), batch, inputs, hidden, steps);
    save_safetensors(file, data.named());
    const Work work = work_of(data, what_, Mode::inference);
    std::string text = fmt::format("ok {} {}", work.recurrent_bytes, work.input_bytes);
    for (const Mode mode : {Mode::inference, Mode::training, Mode::training_with_dx})
      text += fmt::format(" {}", work_of(data, what_, mode).flops);
    return text;
  }

  std::string set_up(std::istringstream& line) {
    std::string name, way, cell, mode_name, file;
    read(line, name, way, cell, mode_name, file);
    const Mode mode = mode_named(mode_name);
    const auto data =
        std::make_shared<const Data>(Data::read(find_network(cell), load_safetensors(file).tensors));
    const double start = now_us();
    Slot made{make_way(way, data, what_, mode), result_names(*data, what_, mode)};
    for (int call = 0; call < kWarmCalls; ++call) made.way.call();
    if (made.way.stats && made.way.stats().plan_runs == 0)
      throw UserError(way + " of " + cell + " did not run as compiled code");
    slots_.insert_or_assign(name, std::move(made));
    return fmt::format("ok {:.3f}", (now_us() - start) / 1e3);
  }

  std::string time_calls(std::istringstream& line) {
    std::string name;
    int64_t count;
    read(line, name, count);
    const Way& way = slot(name).way;
    std::string text = "us";
    for (int64_t call = 0; call < count; ++call) {
      const double start = now_us();
      way.call();
      text += fmt::format(" {:.3f}", now_us() - start);
    }
    return text;
  }

  /// Of the tensors that both files have.
  static std::string compare(const std::string& ours, const std::string& theirs) {
    const NamedTensors a = load_safetensors(ours).tensors, b = load_safetensors(theirs).tensors;
    double worst = 0;
    std::string where = "none";
    int shared = 0;
    for (const auto& [name, tensor] : a) {
      const Tensor other = find(b, name);
      if (!other) continue;
      if (other.element_count() != tensor.element_count())
        throw UserError(name + " has another number of elements");
      const std::vector<float> x = tensor.to_vector<float>(), y = other.to_vector<float>();
      double largest = 1e-30, difference = 0;
      for (size_t i = 0; i < x.size(); ++i) {
        const double distance = std::abs(double{x[i]} - double{y[i]});
        largest = std::max(largest, std::abs(double{x[i]}));
        difference = std::max(difference, distance == distance ? distance : INFINITY);
      }
      ++shared;
      if (difference / largest < worst) continue;
      worst = difference / largest;
      where = name;
    }
    if (shared == 0) throw UserError(ours + " and " + theirs + " have no tensor of one name");
    return fmt::format("ok {:.3g} {}", worst, where);
  }

  What what_;
  std::map<std::string, Slot> slots_;
};

}  // namespace calque::bench

// The program `calque`: parses the command line, runs one sub-command, turns failures into one sentence and
// an exit code.
#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <new>

#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/version.h"
#include "ir/op/error.h"
#include "runtime/thread_pool.h"

namespace calque::cli {

void add_threads_option(CLI::App& command) {
  command
      .add_option_function<int>(
          "--threads", [](int threads) { ThreadPool::instance().set_num_threads(threads); },
          "Threads to compute with (default: CALQUE_NUM_THREADS, else one per core)")
      ->check(CLI::Range(1, ThreadPool::kMaxThreads))
      ->type_name("N");
}

namespace {

constexpr int kFailed = 1, kUsage = 2;

int report(const char* kind, const char* sentence) {
  fmt::print(stderr, "calque: {}{}\n", kind, sentence);
  return kFailed;
}

int run(const Action& action) {
  try {
    const int code = action();
    if (std::fflush(stdout) != 0) throw EnvironmentError("cannot write to the standard output");
    return code;
  } catch (const Interrupted& interrupted) {
    report("", interrupted.what());
    return interrupted.exit_code();
  } catch (const InternalError& error) {
    return report("internal error, please report it: ", error.what());
  } catch (const std::bad_alloc&) {
    return report("", "the machine has no more memory");
  } catch (const std::exception& error) {
    return report("", error.what());
  }
}

int parse_and_run(int argc, char** argv) {
  CLI::App program{"Calque traces tensor programs and translates them into machine code while they run."};
  program.name("calque");
  program.require_subcommand(1);
  program.set_version_flag("--version", fmt::format("calque {}", kVersion));
  program.option_defaults()->always_capture_default();  // help shows defaults
  program.footer("`calque COMMAND --help` says more of each. Start with `calque demo`.");
  Action action;
  add_demo(program, action);
  add_train(program, action);
  add_sample(program, action);
  add_info(program, action);
  add_dump(program, action);
  add_explain(program, action);
  add_opt(program, action);
  add_ops(program, action);
  add_cache(program, action);
  add_bench_step(program, action);
  try {
    program.parse(argc, argv);
  } catch (const CLI::Success& wanted) {  // --help, --version
    return program.exit(wanted);
  } catch (const CLI::ParseError& error) {
    fmt::print(stderr, "calque: {} (`calque --help` lists what there is)\n", error.what());
    return kUsage;
  }
  return run(action);
}

}  // namespace
}  // namespace calque::cli

int main(int argc, char** argv) { return calque::cli::parse_and_run(argc, argv); }

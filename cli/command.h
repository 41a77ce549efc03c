// What a sub-command is: a function that adds itself to the program, one file each, called from main.cpp.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace calque::cli {

/// What the chosen sub-command does after parsing; returns the exit code (0 good, 1 failed, 2 wrong usage; 130
/// after Ctrl-C and 143 after SIGTERM, where these are waited for).
using Action = std::function<int()>;

void add_demo(CLI::App& program, Action& action);
void add_train(CLI::App& program, Action& action);
void add_sample(CLI::App& program, Action& action);
void add_info(CLI::App& program, Action& action);
void add_dump(CLI::App& program, Action& action);
void add_explain(CLI::App& program, Action& action);
void add_opt(CLI::App& program, Action& action);
void add_ops(CLI::App& program, Action& action);
void add_cache(CLI::App& program, Action& action);
void add_bench_step(CLI::App& program, Action& action);

/// `--threads N`: sets the size of the thread pool when parsed.
void add_threads_option(CLI::App& command);

}  // namespace calque::cli

// The machine's roofline: peak of f32 FMAs, and bytes a second read from L1, L2, L3 and memory, by one thread
// and by all; and what a barrier of all threads takes.
//
// A level's data are half of its cache for each thread (of L3: half of it, divided among the threads); memory
// is read from four times the L3. The median is of samples that one interruption can spoil, so limits use the
// fastest: giga is 10^9 operations or bytes a second.
#include "bench/machine.h"
#include "bench/report.h"

using namespace calque;
using namespace calque::bench;

namespace {

void add_row(Report& report, const char* workload, const std::string& shape, const char* unit,
             const Speed& speed) {
  if (speed.samples.us.empty()) return;
  Row row{workload, shape, "read", speed.samples.median(), speed.samples.minimum()};
  if (std::string_view(workload) == "fma_f32") row.mode = "registers";
  row.more = {{unit, speed.giga()}};
  report.add(row);
}

void rows(Report& report, int threads, bool quick) {
  ThreadPool::instance().set_num_threads(threads);
  add_row(report, "fma_f32", "", "GFLOP/s", measure_flops(quick));
  const size_t l1 = cache_bytes(1, 32 << 10), l2 = cache_bytes(2, 1 << 20), l3 = cache_bytes(3, 32 << 20);
  const auto share = static_cast<size_t>(threads);
  const std::pair<const char*, size_t> levels[] = {
      {"L1", l1 / 2}, {"L2", l2 / 2}, {"L3", l3 / 2 / share}, {"memory", 4 * l3 / share}};
  for (const auto& [level, bytes] : levels) {
    if (quick && bytes > (1 << 20)) continue;
    add_row(report, level, fmt::format("{} KiB each", bytes >> 10), "GB/s", measure_reads(bytes, quick));
  }
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = read_options(argc, argv);
  const int threads = ThreadPool::instance().num_threads();
  Report report("roofline", options);
  rows(report, 1, options.quick);
  if (threads > 1) {
    rows(report, threads, options.quick);
    const double ns = barrier_ns();
    Row row{"barrier", "", "meet", ns / 1e3, ns / 1e3};
    row.more = {{"ns", ns}};
    report.add(row);
  }
  return report.finish();
}

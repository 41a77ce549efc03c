// A multi-layer perceptron learns real handwritten digits: data from a file, a schedule, and accuracy on images it never saw.
//
//     scripts/fetch_digits.py && build/dev/bin/digits            (--eager: without compile)
#include <calque/calque.h>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <numeric>
#include <sstream>
#include <vector>

namespace cq = calque;

struct Digits {
  cq::Tensor images, labels;  // f32 [N,64] within 0 and 1, i64 [N]
};

/// Lines of 64 numbers from 0 to 16, and the digit.
Digits read_digits(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw cq::UserError("cannot open " + path + "; scripts/fetch_digits.py fetches it");
  std::vector<float> pixels;
  std::vector<int64_t> labels;
  for (std::string line; std::getline(file, line);) {
    std::istringstream numbers(line);
    std::string number;
    for (int i = 0; i < 64 && std::getline(numbers, number, ','); ++i) pixels.push_back(std::stof(number) / 16);
    if (std::getline(numbers, number)) labels.push_back(std::stoll(number));
  }
  const auto count = static_cast<int64_t>(labels.size());
  return {cq::from_vector(pixels, {count, 64}), cq::from_vector(labels)};
}

/// The numbers 0 to count - 1 in an order that the generator draws (Fisher, Yates).
std::vector<int64_t> shuffled(int64_t count, cq::Generator& generator) {
  std::vector<int64_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  const std::vector<double> draws = cq::rand({count}, cq::DType::f64, generator).to_vector<double>();
  for (int64_t i = count - 1; i > 0; --i) std::swap(order[i], order[static_cast<int64_t>(draws[i] * static_cast<double>(i + 1))]);
  return order;
}

Digits rows(const Digits& data, const std::vector<int64_t>& order, int64_t first, int64_t count) {
  const cq::Tensor indices = cq::from_span(std::span(order).subspan(first, count), {count});
  return {cq::take(data.images, indices), cq::take(data.labels, indices)};
}

double accuracy(cq::nn::Sequential& net, const Digits& data) {
  const cq::NoGradGuard guard;
  net.eval();
  const auto guesses = cq::argmax(net(data.images), 1).to_vector<int64_t>(), labels = data.labels.to_vector<int64_t>();
  net.train();
  int64_t right = 0;
  for (size_t i = 0; i < labels.size(); ++i) right += guesses[i] == labels[i];
  return static_cast<double>(right) / static_cast<double>(labels.size());
}

int run(const std::string& path, bool is_eager) {
  const Digits all = read_digits(path);
  cq::manual_seed(1);
  cq::Generator order(2);
  const int64_t count = all.labels.size(0), held_out = count / 5;  // a fifth is for testing only
  const std::vector<int64_t> split = shuffled(count, order);
  const Digits test = rows(all, split, 0, held_out), train = rows(all, split, held_out, count - held_out);

  cq::nn::Sequential net;
  net.add<cq::nn::Linear>(64, 128).add(cq::relu).add<cq::nn::Dropout>(0.2).add<cq::nn::Linear>(128, 10);
  cq::optim::AdamW optimizer(net.parameters());
  std::function<cq::Tensor(const cq::Tensor&, const cq::Tensor&)> loss_of =
      [&](const cq::Tensor& images, const cq::Tensor& labels) { return cq::cross_entropy(net(images), labels); };
  if (!is_eager) loss_of = cq::compile(loss_of);  // the only difference

  const int64_t epochs = 40, batch = 64, batches = train.labels.size(0) / batch;
  for (int64_t epoch = 0; epoch < epochs; ++epoch) {
    const std::vector<int64_t> shuffle = shuffled(train.labels.size(0), order);
    double total = 0;
    for (int64_t i = 0; i < batches; ++i) {
      const Digits piece = rows(train, shuffle, i * batch, batch);
      optimizer.set_learning_rate(5e-3 * cq::optim::warm_up_linear(optimizer.steps(), 20, epochs * batches));
      const cq::Tensor loss = loss_of(piece.images, piece.labels);
      loss.backward();
      optimizer.step();
      optimizer.zero_grad();
      total += loss.item();
    }
    if (epoch % 5 == 4) std::printf("epoch %2d  loss %.9f\n", int(epoch + 1), total / double(batches));
  }
  std::printf("accuracy on %d digits held out: %.4f\n", int(held_out), accuracy(net, test));
  return 0;
}

int main(int argc, char** argv) {
  std::string path = "build/data/digits.csv";
  bool is_eager = false;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--eager") == 0)
      is_eager = true;
    else
      path = argv[i];
  }
  try {
    return run(path, is_eager);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "digits: %s\n", error.what());
    return 1;
  }
}

// DLPack both ways: who owns what, and memory that a lender goes on writing to.
#include "calque/dlpack.h"

#include <catch2/catch.hpp>
#include <vector>

#include "calque/calque.h"
#include "tests/support/same_bits.h"

using namespace calque;

namespace {

/// An array of another library: floats that it goes on owning until the deleter is called.
struct Lender {
  std::vector<float> values = {1, 2, 3, 4, 5, 6};
  std::vector<int64_t> shape = {2, 3}, strides = {3, 1};
  DLManagedTensorVersioned managed{};
  int deleted = 0;

  Lender() {
    managed.version = {1, 0};
    managed.manager_ctx = this;
    managed.deleter = [](DLManagedTensorVersioned* self) { ++static_cast<Lender*>(self->manager_ctx)->deleted; };
    managed.dl_tensor = {values.data(), {kDLCPU, 0}, 2, {kDLFloat, 32, 1}, shape.data(), strides.data(), 0};
  }
  void refuse() {
    CHECK_THROWS_AS(from_dlpack(&managed), UserError);
    CHECK(deleted == 0);
  }
};

}  // namespace

TEST_CASE("borrowed memory is used in place and given back once") {
  Lender lender;
  {
    const Tensor x = from_dlpack(&lender.managed);
    CHECK(x.to_vector<float>() == lender.values);
    lender.values[0] = 10;
    CHECK(x.to_vector<float>()[0] == 10);
    const Tensor row = slice(x, 0, 0, 1);
    CHECK(sum(row).item() == 15);
    no_grad([&] { Tensor(x).assign_(x * 2.0); });
    CHECK(lender.values == std::vector<float>{20, 4, 6, 8, 10, 12});
    CHECK(lender.deleted == 0);
  }
  CHECK(lender.deleted == 1);
}

TEST_CASE("strides, offsets and a missing deleter of a lender are honoured") {
  Lender lender;
  lender.managed.dl_tensor.byte_offset = 4;
  lender.shape = {2, 2}, lender.strides = {1, 2};
  lender.managed.deleter = nullptr;
  CHECK(from_dlpack(&lender.managed).to_vector<float>() == std::vector<float>{2, 4, 3, 5});
  lender.managed.dl_tensor.strides = nullptr;
  CHECK(from_dlpack(&lender.managed).to_vector<float>() == std::vector<float>{2, 3, 4, 5});
}

TEST_CASE("memory that must not be written is copied and given back") {
  Lender lender;
  lender.managed.flags = DLPACK_FLAG_BITMASK_READ_ONLY;
  const Tensor x = from_dlpack(&lender.managed);
  CHECK(lender.deleted == 1);
  lender.values[0] = 7;
  CHECK(x.to_vector<float>()[0] == 1);
}

TEST_CASE("what does not fit is refused and stays the caller's") {
  Lender lender;
  SECTION("version") { lender.managed.version.major = 2, lender.refuse(); }
  SECTION("device") { lender.managed.dl_tensor.device.device_type = kDLCUDA, lender.refuse(); }
  SECTION("dtype") { lender.managed.dl_tensor.dtype.bits = 16, lender.refuse(); }
  SECTION("lanes") { lender.managed.dl_tensor.dtype.lanes = 2, lender.refuse(); }
  SECTION("rank") { lender.managed.dl_tensor.ndim = 7, lender.refuse(); }
  SECTION("negative rank") { lender.managed.dl_tensor.ndim = -1, lender.refuse(); }
  SECTION("negative size") { lender.shape[0] = -2, lender.refuse(); }
  SECTION("size") { lender.shape = {INT64_MAX, 3}, lender.refuse(); }
  SECTION("negative stride") { lender.strides[0] = -3, lender.refuse(); }
  SECTION("stride") { lender.strides[0] = INT64_MAX / 2, lender.refuse(); }
  SECTION("alignment") { lender.managed.dl_tensor.byte_offset = 2, lender.refuse(); }
  SECTION("null data") { lender.managed.dl_tensor.data = nullptr, lender.refuse(); }
  SECTION("bools") { lender.managed.dl_tensor.dtype = {kDLBool, 8, 1}, lender.refuse(); }
}

TEST_CASE("a compiled function takes a lender's elements when an op reads them") {
  Lender lender;
  Tensor x = from_dlpack(&lender.managed);
  const auto body = [&](const Tensor& t) {
    const Tensor first = exp(slice(t, 1, 1, 3)) + sum(t);
    lender.values[1] += 1;  // between two ops, unseen
    const Tensor second = tanh(t) * 0.5;
    lender.values[1] += 1;
    return std::vector<Tensor>{first, second};
  };
  auto compiled = compile(body);
  for (int call = 0; call < 4; ++call) {
    lender.values[1] = static_cast<float>(call);
    const auto expected = body(x);
    lender.values[1] = static_cast<float>(call);
    const auto ours = compiled(x);
    for (size_t i = 0; i < 2; ++i) CHECK(same_bits(ours[i], expected[i]));
  }
}

TEST_CASE("gradients flow to a borrowed leaf through a compiled function") {
  Lender lender;
  Tensor x = from_dlpack(&lender.managed);
  x.set_requires_grad();
  auto square = compile([](const Tensor& t) { return sum(t * t); });
  for (int call = 0; call < 3; ++call) {
    x.clear_grad();
    square(x).backward();
    CHECK(x.grad().to_vector<float>() == std::vector<float>{2, 4, 6, 8, 10, 12});
  }
}

TEST_CASE("a lent tensor lives until the borrower is done, and its writes are seen") {
  Tensor x = from_vector<float>({1, 2, 3, 4}, {2, 2});
  DLManagedTensorVersioned* lent = to_dlpack(permute(x, {1, 0}));
  CHECK(lent->version.major == 1);
  CHECK(lent->dl_tensor.strides[0] == 1);
  CHECK(lent->dl_tensor.dtype.code == kDLFloat);
  auto add_one = compile([&](const Tensor& t) {
    const Tensor y = t + 1.0;
    static_cast<float*>(lent->dl_tensor.data)[0] += 5;
    return y;
  });
  for (int call = 0; call < 3; ++call) {
    const float before = x.to_vector<float>()[0];
    CHECK(add_one(x).to_vector<float>()[0] == before + 1);
  }
  lent->deleter(lent);
  DLManagedTensor* old = to_dlpack_unversioned(x);
  const float* data = static_cast<float*>(old->dl_tensor.data);
  x = {};
  CHECK(data[3] == 4);
  const Tensor back = from_dlpack(old);  // our own memory, round and back
  CHECK(back.to_vector<float>()[3] == 4);
  Tensor leaf = ones({2});
  leaf.set_requires_grad();
  CHECK_THROWS_AS(to_dlpack(leaf), UserError);
}

TEST_CASE("an empty array is nobody's memory") {
  Lender lender;
  lender.shape = {0, 3};
  lender.managed.dl_tensor.data = nullptr;
  CHECK(from_dlpack(&lender.managed).shape() == Shape{0, 3});
  CHECK(lender.deleted == 1);
}

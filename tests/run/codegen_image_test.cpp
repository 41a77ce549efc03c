// The linker of flat images, on objects written by hand: what it places and patches, and all that it refuses.
#include <elf.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <string>
#include <vector>

#include "calque/kernel_abi.h"
#include "ir/op/error.h"
// The linker lives in the plugin, which exports its C entry only; it needs nothing of LLVM.
#include "codegen/cpu/flat_image.cpp"

namespace calque::codegen {
namespace {

/// An object with one function of 16 bytes whose 4 bytes at offset 4 refer to a constant at offset 8 of
/// .rodata.
struct ObjectSpec {
  uint64_t constants_flags = SHF_ALLOC;
  uint32_t constants_type = SHT_PROGBITS;
  uint64_t constants_alignment = 64;
  uint32_t relocation = R_X86_64_PC32;
  uint64_t relocated_at = 4;
  uint16_t target_section = 2;
  uint64_t target_value = 8;
  uint16_t machine = EM_X86_64;
};

template <class T>
void append(std::vector<uint8_t>& bytes, const T& value) {
  const auto* first = reinterpret_cast<const uint8_t*>(&value);
  bytes.insert(bytes.end(), first, first + sizeof value);
}

std::vector<uint8_t> object_of(const ObjectSpec& spec) {
  const std::string names("\0.text\0.rodata\0.rela\0.symtab\0.strtab\0kernel\0table\0", 50);
  const auto name = [&](const char* text) {
    return static_cast<uint32_t>(names.find(std::string("\0", 1) + text) + 1);
  };
  std::vector<uint8_t> bytes(sizeof(Elf64_Ehdr));
  const auto section = [&](const char* text, uint32_t type, uint64_t flags, uint64_t size,
                           uint64_t alignment) {
    Elf64_Shdr header{};
    header.sh_name = name(text);
    header.sh_type = type;
    header.sh_flags = flags;
    header.sh_offset = bytes.size();
    header.sh_size = size;
    header.sh_addralign = alignment;
    return header;
  };
  std::vector<Elf64_Shdr> headers(1);
  headers.push_back(section(".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, 16, 16));
  bytes.insert(bytes.end(), 16, 0xAA);
  headers.push_back(
      section(".rodata", spec.constants_type, spec.constants_flags, 16, spec.constants_alignment));
  bytes.insert(bytes.end(), 16, 0xBB);
  headers.push_back(section(".rela", SHT_RELA, 0, sizeof(Elf64_Rela), 8));
  headers.back().sh_info = 1;
  append(bytes, Elf64_Rela{spec.relocated_at, ELF64_R_INFO(uint64_t{2}, spec.relocation), -4});
  headers.push_back(section(".symtab", SHT_SYMTAB, 0, 3 * sizeof(Elf64_Sym), 8));
  headers.back().sh_link = 5;
  append(bytes, Elf64_Sym{});
  append(bytes, Elf64_Sym{name("kernel"), ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), STV_HIDDEN, 1, 0, 16});
  append(bytes, Elf64_Sym{name("table"), ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT), 0, spec.target_section,
                          spec.target_value, 8});
  headers.push_back(section(".strtab", SHT_STRTAB, 0, names.size(), 1));
  bytes.insert(bytes.end(), names.begin(), names.end());

  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_type = ET_REL;
  header.e_machine = spec.machine;
  header.e_shoff = bytes.size();
  header.e_shentsize = sizeof(Elf64_Shdr);
  header.e_shnum = static_cast<uint16_t>(headers.size());
  header.e_shstrndx = 5;
  std::memcpy(bytes.data(), &header, sizeof header);
  for (const Elf64_Shdr& entry : headers) append(bytes, entry);
  return bytes;
}

const KernelSymbol kKernel{"kernel", 192};

std::string refusal(const ObjectSpec& spec, const KernelSymbol& kernel = kKernel) {
  try {
    link_flat_image(object_of(spec), {&kernel, 1});
    return "";
  } catch (const InternalError& error) {
    return error.what();
  }
}

TEST_CASE("an object's code and constants are placed, and references between them patched") {
  const std::vector<uint8_t> image = link_flat_image(object_of({}), {&kKernel, 1});
  calque_image_header header;
  calque_image_entry entry;
  std::memcpy(&header, image.data(), sizeof header);
  std::memcpy(&entry, image.data() + sizeof header, sizeof entry);
  CHECK(header.magic == CALQUE_IMAGE_MAGIC);
  CHECK(header.kernel_count == 1);
  CHECK(header.image_bytes == image.size());
  CHECK(header.code_offset == 64);
  CHECK(entry.code_offset == 64);
  CHECK(entry.scratch_bytes == 192);
  CHECK(image[64] == 0xAA);
  CHECK(image[128] == 0xBB);  // aligned to 64, behind 16 bytes of code
  int32_t distance;
  std::memcpy(&distance, image.data() + 64 + 4, sizeof distance);
  CHECK(distance == (128 + 8) - 4 - (64 + 4));
  CHECK(refusal({.relocation = R_X86_64_PLT32}).empty());
  CHECK(refusal({.relocation = R_X86_64_PC64}).empty());
}

TEST_CASE("what an image cannot hold is refused by name") {
  CHECK(refusal({.target_section = SHN_UNDEF}).find("outside symbol table") != std::string::npos);
  CHECK(refusal({.target_section = SHN_ABS}).find("table is not part") != std::string::npos);
  CHECK(refusal({.target_section = SHN_COMMON}).find("table is not part") != std::string::npos);
  CHECK(refusal({.target_value = 17}).find("outside of its section") != std::string::npos);
  CHECK(refusal({.constants_flags = SHF_ALLOC | SHF_WRITE}).find("neither code nor constants") !=
        std::string::npos);
  CHECK(refusal({.constants_flags = SHF_ALLOC | SHF_TLS}).find("neither code nor constants") !=
        std::string::npos);
  CHECK(refusal({.constants_type = SHT_NOBITS}).find("neither code nor constants") != std::string::npos);
  CHECK(refusal({.constants_alignment = 8192}).find("does not fit") != std::string::npos);
  CHECK(refusal({.relocation = R_X86_64_64}).find("not relative") != std::string::npos);
  CHECK(refusal({.relocation = R_X86_64_32S}).find("not relative") != std::string::npos);
  CHECK(refusal({.relocation = R_X86_64_REX_GOTPCRELX}).find("not relative") != std::string::npos);
  CHECK(refusal({.relocated_at = 1 << 20}).find("relocation outside") != std::string::npos);
  CHECK(refusal({.machine = EM_AARCH64}).find("not a relocatable") != std::string::npos);
  CHECK(refusal({}, {"other", 0}).find("lacks the kernel other") != std::string::npos);
}

TEST_CASE("an object that is cut off is refused at every length") {
  const std::vector<uint8_t> object = object_of({});
  for (size_t length = 0; length < object.size(); ++length)
    CHECK_THROWS_AS(link_flat_image(std::span(object).first(length), {&kKernel, 1}), InternalError);
}

}  // namespace
}  // namespace calque::codegen

// Reads the ELF tables, places the sections, applies PC-relative relocations.
#include "codegen/cpu/flat_image.h"

#include <elf.h>
#include <fmt/format.h>

#include <cstring>
#include <optional>
#include <string_view>

#include "calque/kernel_abi.h"
#include "ir/op/error.h"

namespace calque::codegen {

namespace {

constexpr uint64_t kLargestAlignment = 4096;  // of the page that an image is mapped to
constexpr uint64_t kCodeAlignment = 64;

uint64_t aligned(uint64_t offset, uint64_t alignment) {
  return (offset + alignment - 1) / alignment * alignment;
}

class Linker {
 public:
  Linker(std::span<const uint8_t> object, std::span<const KernelSymbol> kernels)
      : object_(object), kernels_(kernels) {}

  std::vector<uint8_t> run() {
    read_sections();
    place_sections();
    for (const Elf64_Shdr& section : sections_)
      if (section.sh_type == SHT_RELA && section.sh_info < sections_.size() && offsets_[section.sh_info])
        relocate(section);
      else if (section.sh_type == SHT_REL)
        throw InternalError("flat image: relocations without addends");
    write_header();
    return std::move(image_);
  }

 private:
  /// Copies a T out of the object; everything that is read goes through here.
  template <class T>
  T read(uint64_t offset) const {
    if (offset > object_.size() || object_.size() - offset < sizeof(T))
      throw InternalError("flat image: the object is cut off");
    T value;
    std::memcpy(&value, object_.data() + offset, sizeof value);
    return value;
  }
  template <class T>
  void write(uint64_t offset, const T& value) {
    if (offset > image_.size() || image_.size() - offset < sizeof(T))
      throw InternalError("flat image: a relocation outside of its section");
    std::memcpy(image_.data() + offset, &value, sizeof value);
  }
  std::string_view text_at(const Elf64_Shdr& strings, uint64_t offset) const {
    if (strings.sh_offset > object_.size() || strings.sh_size > object_.size() - strings.sh_offset ||
        offset >= strings.sh_size)
      throw InternalError("flat image: a name outside of its table");
    const char* text = reinterpret_cast<const char*>(object_.data()) + strings.sh_offset + offset;
    return {text, strnlen(text, strings.sh_size - offset)};
  }

  void read_sections() {
    const auto header = read<Elf64_Ehdr>(0);
    if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
        header.e_machine != EM_X86_64 || header.e_type != ET_REL || header.e_shentsize != sizeof(Elf64_Shdr))
      throw InternalError("flat image: not a relocatable x86-64 object");
    for (uint64_t i = 0; i < header.e_shnum; ++i)
      sections_.push_back(read<Elf64_Shdr>(header.e_shoff + i * sizeof(Elf64_Shdr)));
    if (header.e_shstrndx >= sections_.size()) throw InternalError("flat image: no table of section names");
    for (const Elf64_Shdr& section : sections_) {
      names_.push_back(text_at(sections_[header.e_shstrndx], section.sh_name));
      if (section.sh_type == SHT_SYMTAB) symbols_ = section;
    }
    if (symbols_.sh_link >= sections_.size()) throw InternalError("flat image: no table of symbol names");
  }

  void place_sections() {
    code_offset_ =
        aligned(sizeof(calque_image_header) + kernels_.size() * sizeof(calque_image_entry), kCodeAlignment);
    image_.resize(code_offset_);
    offsets_.resize(sections_.size());
    for (size_t i = 0; i < sections_.size(); ++i) {
      const Elf64_Shdr& section = sections_[i];
      if (!(section.sh_flags & SHF_ALLOC) || section.sh_size == 0) continue;
      if ((section.sh_flags & (SHF_WRITE | SHF_TLS)) || section.sh_type != SHT_PROGBITS)
        throw InternalError(fmt::format("flat image: section {} is neither code nor constants", names_[i]));
      const uint64_t alignment = section.sh_addralign ? section.sh_addralign : 1;
      if (alignment > kLargestAlignment || section.sh_offset > object_.size() ||
          section.sh_size > object_.size() - section.sh_offset)
        throw InternalError(fmt::format("flat image: section {} does not fit", names_[i]));
      offsets_[i] = aligned(image_.size(), alignment);
      image_.resize(*offsets_[i]);
      const auto bytes = object_.subspan(section.sh_offset, section.sh_size);
      image_.insert(image_.end(), bytes.begin(), bytes.end());
    }
  }

  uint64_t symbol_count() const { return symbols_.sh_size / sizeof(Elf64_Sym); }
  Elf64_Sym symbol(uint64_t i) const {
    if (i >= symbol_count()) throw InternalError("flat image: an unknown symbol");
    return read<Elf64_Sym>(symbols_.sh_offset + i * sizeof(Elf64_Sym));
  }
  std::string_view name_of(const Elf64_Sym& symbol) const {
    if (ELF64_ST_TYPE(symbol.st_info) == STT_SECTION && symbol.st_shndx < names_.size())
      return names_[symbol.st_shndx];
    return text_at(sections_[symbols_.sh_link], symbol.st_name);
  }
  uint64_t offset_of(const Elf64_Sym& symbol) const {
    if (symbol.st_shndx == SHN_UNDEF)
      throw InternalError(
          fmt::format("flat image: the code refers to the outside symbol {}", name_of(symbol)));
    if (symbol.st_shndx >= offsets_.size() || !offsets_[symbol.st_shndx])
      throw InternalError(fmt::format("flat image: {} is not part of the image", name_of(symbol)));
    if (symbol.st_value > sections_[symbol.st_shndx].sh_size)
      throw InternalError(fmt::format("flat image: {} lies outside of its section", name_of(symbol)));
    return *offsets_[symbol.st_shndx] + symbol.st_value;
  }

  void relocate(const Elf64_Shdr& table) {
    const uint64_t target = *offsets_[table.sh_info];
    for (uint64_t i = 0; i < table.sh_size / sizeof(Elf64_Rela); ++i) {
      const auto relocation = read<Elf64_Rela>(table.sh_offset + i * sizeof(Elf64_Rela));
      const Elf64_Sym to = symbol(ELF64_R_SYM(relocation.r_info));
      const uint64_t place = target + relocation.r_offset;
      const auto distance = static_cast<int64_t>(offset_of(to) + relocation.r_addend - place);
      switch (ELF64_R_TYPE(relocation.r_info)) {
        case R_X86_64_PC32:
        case R_X86_64_PLT32:
          if (distance != static_cast<int32_t>(distance))
            throw InternalError("flat image: code and constants lie too far apart");
          write(place, static_cast<int32_t>(distance));
          break;
        case R_X86_64_PC64:
          write(place, distance);
          break;
        default:
          throw InternalError(fmt::format("flat image: relocation {} against {} is not relative to the code",
                                          ELF64_R_TYPE(relocation.r_info), name_of(to)));
      }
    }
  }

  void write_header() {
    image_.resize(aligned(image_.size(), kCodeAlignment));
    write(0, calque_image_header{CALQUE_IMAGE_MAGIC, CALQUE_KERNEL_ABI_VERSION,
                                 static_cast<uint32_t>(kernels_.size()), image_.size(), code_offset_});
    for (size_t k = 0; k < kernels_.size(); ++k)
      write(sizeof(calque_image_header) + k * sizeof(calque_image_entry),
            calque_image_entry{kernel_offset(kernels_[k].name), kernels_[k].scratch_bytes,
                               kernels_[k].part_columns, kernels_[k].any_columns});
  }
  uint64_t kernel_offset(const std::string& name) const {
    for (uint64_t i = 0; i < symbol_count(); ++i)
      if (const Elf64_Sym candidate = symbol(i);
          ELF64_ST_TYPE(candidate.st_info) == STT_FUNC && name_of(candidate) == name)
        return offset_of(candidate);
    throw InternalError(fmt::format("flat image: the object lacks the kernel {}", name));
  }

  std::span<const uint8_t> object_;
  std::span<const KernelSymbol> kernels_;
  std::vector<Elf64_Shdr> sections_;
  std::vector<std::string_view> names_;
  Elf64_Shdr symbols_{};
  std::vector<std::optional<uint64_t>> offsets_;  // of the sections that are in the image
  std::vector<uint8_t> image_;
  uint64_t code_offset_ = 0;
};

}  // namespace

std::vector<uint8_t> link_flat_image(std::span<const uint8_t> object, std::span<const KernelSymbol> kernels) {
  return Linker(object, kernels).run();
}

}  // namespace calque::codegen

//! Layout of an image, shared by the compiler and the lookup. `docs/image.md` draws it.
//!
//! All words are in host byte order. Offsets are in bytes from the start of the image, multiples
//! of eight and below 2^27.

/// First word of an image: "SGIM".
pub const MAGIC: u32 = 0x4d49_4753;
/// Offset of [`MAGIC`].
pub const AT_MAGIC: u32 = 0;
/// Offset of the version word, [`crate::tables::LAYOUT_VERSION`].
pub const AT_VERSION: u32 = 4;
/// Offset of the image's length in bytes.
pub const AT_LENGTH: u32 = 8;
/// Offset of the [`Reference`] that IPv4 addresses start from.
pub const AT_V4: u32 = 16;
/// Offset of the [`Reference`] that IPv6 addresses start from.
pub const AT_V6: u32 = 20;
/// Bytes of the header; what follows starts on a cache line.
pub const HEADER: u32 = 64;

/// Unit of the offsets in references and descriptors.
pub const UNIT: u32 = 8;

/// A word that says what comes next for an address: bits 8 to 31 the offset in units, bits 6 and 7
/// the form of what lies there, bits 0 to 5 its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Reference(pub u32);

impl Reference {
    /// A row: of [`ROW_WORDS`] words if the size is 0, of the narrow form ([`Narrow`]) if it is 1.
    pub const ROW: u32 = 0;
    /// A node: `4 << size` ends of 16 bits, four in a word, then one 32-bit reference for each
    /// interval. Looks at the lower 16 bits of an IPv4 address.
    pub const NODE: u32 = 1;
    /// A list (`levels` = 0) of `1 << log` 64-bit ends, then one 32-bit reference for each
    /// interval; or a tree: see [`TREE_HEADER`]. Looks at a whole IPv4 address or at one half of
    /// an IPv6 address. With [`Reference::LINE`] one cache line, of which IPv4 addresses are found
    /// in it: eight ends of 32 bits, of which the last is never below an address, and eight
    /// references.
    pub const LIST: u32 = 2;
    /// A root: references by the upper bits of an IPv4 address, or of the upper half of an IPv6
    /// address. The size is how far those are shifted to the right.
    pub const ROOT: u32 = 3;

    /// In the size of a list: it is one cache line.
    pub const LINE: u32 = 1 << 5;

    /// A reference to `offset`.
    #[inline(always)]
    #[must_use]
    pub const fn new(form: u32, offset: u32, size: u32) -> Self {
        Self((offset / UNIT) << 8 | form << 6 | size)
    }

    /// The size of a list of `1 << log` ends, or of a tree of that many `levels` above its leaves
    /// (whose lists hold eight ends: log 3).
    #[inline(always)]
    #[must_use]
    pub const fn list_size(levels: u32, log: u32) -> u32 {
        log << 3 | levels
    }

    /// Byte offset of what it refers to.
    #[inline(always)]
    #[must_use]
    pub const fn offset(self) -> u32 {
        (self.0 >> 8) * UNIT
    }

    /// One of the forms above.
    #[inline(always)]
    #[must_use]
    pub const fn form(self) -> u32 {
        self.0 >> 6 & 3
    }

    /// Binary logarithm of a node's key words.
    #[inline(always)]
    #[must_use]
    pub const fn node_log(self) -> u32 {
        self.0 & 15
    }

    /// How far an address is shifted to the right to find its place in a root.
    #[inline(always)]
    #[must_use]
    pub const fn root_shift(self) -> u32 {
        self.0 & 63
    }

    /// Whether a list is one cache line.
    #[inline(always)]
    #[must_use]
    pub const fn is_line(self) -> bool {
        self.0 & Self::LINE != 0
    }

    /// Whether a row has the narrow form.
    #[inline(always)]
    #[must_use]
    pub const fn is_narrow(self) -> bool {
        self.0 & 1 != 0
    }

    /// Levels of a tree above its leaves; 0 = a list.
    #[inline(always)]
    #[must_use]
    pub const fn levels(self) -> u32 {
        self.0 & 7
    }

    /// Binary logarithm of the ends of a list.
    #[inline(always)]
    #[must_use]
    pub const fn list_log(self) -> u32 {
        self.0 >> 3 & 3
    }
}

/// Halvings that the largest node or section needs: 2^14 words of four ends.
pub const MAX_LOG: u32 = 14;

/// Ends in a line, of which the last is never below an address.
pub const LINE_ENDS: u32 = 8;

/// Ends in each node of a tree: one cache line.
pub const TREE_ENDS: u32 = 8;
/// Children of each node of a tree above its leaves.
pub const TREE_CHILDREN: u32 = TREE_ENDS + 1;
/// Most levels of a tree above its leaves: 8 * 9^7 ends, more than fit an image.
pub const MAX_LEVELS: u32 = 7;
/// Most bytes of a tree's header: the offset of each level from the top, of the leaves, and of the
/// references, 32 bits each. The nodes follow on cache lines: node `j` of a level has the children
/// `9 * j` to `9 * j + 8` of the next; its end `i` is the last end below its child `i`. Places
/// that are not used hold `u64::MAX`.
pub const TREE_HEADER: u32 = 4 * (MAX_LEVELS + 2);

/// Words of a row: its parent, then one descriptor for each [`super::Kind`].
///
/// The lower half of the parent word is the byte offset of the row that holds what shorter
/// prefixes say, 0 if this row holds it all; the upper half is the best rank that any row further
/// up can give.
pub const ROW_WORDS: u32 = 6;

/// First word of a narrow row: one whose decisions fit beside it, at most one kind telling keys
/// apart, and that has no parent.
///
/// ```text
///  63 … 58   57 … 31        30        29 28        27 … 25   24 … 10      9 … 0
/// │ zero   │ 9 × 3 bits:   │ whole   │ words of  │ kind    │ 5 × 3 bits │ 5 × 2 bits │
/// │        │ the decision  │ of that │ ends: one │ that    │ the        │ hint for   │
/// │        │ of each       │ kind    │ bit for   │ tells   │ decision   │ each kind  │
/// │        │ interval      │         │ each word │ keys    │ of each    │            │
/// │        │               │         │           │ apart   │ other kind │            │
/// ```
///
/// Then the words of ends, at most two, with four ends of 16 bits each, and the decisions, each
/// once, with zeroes for [`ADDRESS_BITS`]. Decisions are counted from 1; 0 is that of no rule. What
/// [`super::Decision::whole_kind_allowed`] returns for other kinds is whether they are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Narrow(pub u64);

impl Narrow {
    /// Most intervals: one more than there are ends.
    pub const INTERVALS: usize = 9;
    /// Most different decisions.
    pub const DECISIONS: usize = 7;
    /// The kind where none tells keys apart.
    pub const NO_KIND: u32 = 7;

    /// First bit of the decisions of kinds.
    pub const AT_KINDS: u32 = 10;
    /// First bit of the number of the kind that tells keys apart.
    pub const AT_KIND: u32 = 25;
    /// The bit that says that there is a first word of ends; the next one speaks of the second.
    pub const AT_WORDS: u32 = 28;
    /// The bit that says that every key of that kind is allowed.
    pub const AT_WHOLE: u32 = 30;
    /// First bit of the decisions of intervals.
    pub const AT_INTERVALS: u32 = 31;
}

/// Upper half of a descriptor that refers to a section. Any other descriptor is itself the
/// [`super::Decision`] for every key.
pub const SECTION: u32 = 0xffff_fffe;

/// Bits of a descriptor that say of the whole kind at this address what
/// [`super::Decision::reverse`] and [`super::Decision::whole_kind_allowed`] return. They are not
/// used in sections.
pub const ADDRESS_BITS: u64 = 0xe;

/// The descriptor of a section: bits 8 to 31 its offset in units, bits 4 to 7 the binary logarithm
/// of its key words. A section is `4 << log` ends of 16 bits, four in a word, then one decision for
/// each interval.
#[inline(always)]
#[must_use]
pub const fn section(offset: u32, log: u32) -> u64 {
    (SECTION as u64) << 32 | ((offset / UNIT) << 8 | log << 4) as u64
}

/// Byte offset of the section that a descriptor refers to.
#[inline(always)]
#[must_use]
pub const fn section_offset(descriptor: u64) -> u32 {
    ((descriptor as u32) >> 8) * UNIT
}

/// Binary logarithm of a section's key words.
#[inline(always)]
#[must_use]
pub const fn section_log(descriptor: u64) -> u32 {
    (descriptor as u32) >> 4 & 15
}

/// Most rows on the way up: one for each length of an IPv6 prefix.
pub const MAX_WALK: u32 = 129;

const _: () = assert!(
    crate::tables::IMAGE_CLASSES[crate::tables::IMAGE_CLASSES.len() - 1] <= UNIT << 24,
    "references reach the end of the largest image"
);
const _: () = assert!(HEADER.is_multiple_of(64));

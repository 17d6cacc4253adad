//! Arrays of the kernel, mapped into this process.

use std::io;
use std::marker::PhantomData;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use bytemuck::Pod;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// A `BPF_MAP_TYPE_ARRAY` with `BPF_F_MMAPABLE`, mapped. Values lie one after the other, each
/// rounded up to 8 bytes.
///
/// The kernel programs read and write the same memory, so values are copied in and out with
/// volatile accesses and never borrowed.
#[derive(Debug)]
pub(super) struct Mapped<T> {
    start: NonNull<u8>,
    bytes: usize,
    len: u32,
    stride: usize,
    value: PhantomData<T>,
}

// SAFETY: the mapping belongs to no thread; every access goes through volatile or atomic reads and
// writes of plain data.
unsafe impl<T> Send for Mapped<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Mapped<T> {}

impl<T: Pod> Mapped<T> {
    /// Maps all values of an array of `len` values.
    pub(super) fn new(fd: BorrowedFd<'_>, len: u32) -> io::Result<Self> {
        let stride = std::mem::size_of::<T>().next_multiple_of(8);
        Self::with_stride(fd, len, stride)
    }

    /// Maps an array of one value of `size` bytes as elements of `T`.
    pub(super) fn over_value(fd: BorrowedFd<'_>, size: u32) -> io::Result<Self> {
        let stride = std::mem::size_of::<T>();
        Self::with_stride(fd, size / stride as u32, stride)
    }

    fn with_stride(fd: BorrowedFd<'_>, len: u32, stride: usize) -> io::Result<Self> {
        let bytes = (stride * len as usize).next_multiple_of(rustix::param::page_size());
        // SAFETY: a fresh shared mapping at an address of the kernel's choice; the map is at least
        // this long, else the call fails.
        let start = unsafe {
            mmap(
                std::ptr::null_mut(),
                bytes,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                fd,
                0,
            )?
        };
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, bytes, len, stride, value: PhantomData })
    }

    /// Number of values.
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// Memory of the mapping.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Start of a value, or `None` past the end.
    pub(super) fn pointer(&self, index: u32) -> Option<NonNull<T>> {
        if index >= self.len {
            return None;
        }
        // SAFETY: index < len, so the offset lies inside the mapping.
        Some(unsafe { self.start.add(self.stride * index as usize) }.cast())
    }

    /// A copy of a value; zeroes past the end.
    pub(super) fn get(&self, index: u32) -> T {
        // SAFETY: the pointer is valid and aligned (stride is a multiple of 8 and so is the page);
        // any bits are a valid T.
        self.pointer(index).map_or_else(T::zeroed, |at| unsafe { at.read_volatile() })
    }

    /// Writes a value; nothing past the end.
    pub(super) fn set(&self, index: u32, value: T) {
        if let Some(at) = self.pointer(index) {
            // SAFETY: as in `get`; the memory is mapped for writing.
            unsafe { at.write_volatile(value) }
        }
    }

    /// Copies plain bytes to the start of the mapping.
    pub(super) fn fill(&self, content: &[u8]) {
        let count = content.len().min(self.bytes);
        // SAFETY: count bytes are inside both; a fresh image is not shared with anybody yet.
        unsafe { std::ptr::copy_nonoverlapping(content.as_ptr(), self.start.as_ptr(), count) }
    }
}

impl<T> Mapped<T> {
    /// The 64-bit word at a byte offset of the mapping, as an atomic.
    pub(super) fn atomic(&self, offset: usize) -> Option<&AtomicU64> {
        if !offset.is_multiple_of(8) || offset + 8 > self.bytes {
            return None;
        }
        // SAFETY: aligned and inside the mapping, which lives as long as self; all other accesses
        // to this word are atomic or by the kernel.
        Some(unsafe { self.start.add(offset).cast::<AtomicU64>().as_ref() })
    }
}

impl<T> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: this mapping was made in `with_stride` with this length and is not used again.
        // A failure would only leave it mapped.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

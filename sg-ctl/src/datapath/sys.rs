//! The `bpf(2)` calls that aya does not offer: maps made and filled by the controller, batches,
//! object information. Each function is one call.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use bytemuck::{Pod, Zeroable};

const BPF_MAP_CREATE: i64 = 0;
const BPF_MAP_UPDATE_ELEM: i64 = 2;
const BPF_OBJ_PIN: i64 = 6;
const BPF_OBJ_GET: i64 = 7;
const BPF_OBJ_GET_INFO_BY_FD: i64 = 15;
const BPF_MAP_UPDATE_BATCH: i64 = 26;

/// `BPF_MAP_TYPE_ARRAY`.
pub(super) const MAP_TYPE_ARRAY: u32 = 2;
/// `BPF_MAP_TYPE_ARRAY_OF_MAPS`.
pub(super) const MAP_TYPE_ARRAY_OF_MAPS: u32 = 12;
/// `BPF_F_MMAPABLE`.
pub(super) const F_MMAPABLE: u32 = 1 << 10;

/// `bpf(2)` with an attribute structure whose unused tail the kernel takes as zero.
fn bpf<T: Pod>(command: i64, attribute: &mut T) -> io::Result<i64> {
    // SAFETY: the attribute is a plain structure that lives through the call; pointers inside it
    // were made from buffers that the caller still borrows.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attribute),
            std::mem::size_of::<T>(),
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn owned(result: io::Result<i64>) -> io::Result<OwnedFd> {
    let number = result?;
    let number = i32::try_from(number).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    // SAFETY: the kernel just gave this descriptor to this process and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    inner_map_fd: u32,
    numa_node: u32,
    map_name: [u8; 16],
}

/// What a map is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MapShape {
    /// `BPF_MAP_TYPE_*`.
    pub(super) kind: u32,
    /// Bytes of a value.
    pub(super) value_size: u32,
    /// Number of values.
    pub(super) entries: u32,
    /// `BPF_F_*`.
    pub(super) flags: u32,
}

/// Makes a map with 32-bit keys. `inner` is the template of an outer map.
pub(super) fn map_create(
    name: &str,
    shape: MapShape,
    inner: Option<BorrowedFd<'_>>,
) -> io::Result<OwnedFd> {
    let mut map_name = [0; 16];
    for (to, from) in map_name.iter_mut().zip(name.bytes().take(15)) {
        *to = from;
    }
    owned(bpf(
        BPF_MAP_CREATE,
        &mut MapCreate {
            map_type: shape.kind,
            key_size: 4,
            value_size: shape.value_size,
            max_entries: shape.entries,
            map_flags: shape.flags,
            inner_map_fd: inner.map_or(0, |fd| fd.as_raw_fd() as u32),
            numa_node: 0,
            map_name,
        },
    ))
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct ObjectPath {
    path: u64,
    fd: u32,
    flags: u32,
}

fn path_string(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// Pins an object.
pub(super) fn pin(fd: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let text = path_string(path)?;
    let mut attribute =
        ObjectPath { path: text.as_ptr() as u64, fd: fd.as_raw_fd() as u32, flags: 0 };
    bpf(BPF_OBJ_PIN, &mut attribute).map(drop)
}

/// Opens a pinned object.
pub(super) fn get(path: &Path) -> io::Result<OwnedFd> {
    let text = path_string(path)?;
    owned(bpf(BPF_OBJ_GET, &mut ObjectPath { path: text.as_ptr() as u64, fd: 0, flags: 0 }))
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct UpdateElement {
    map_fd: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// Puts an inner map into a place of an outer map. Waits for a grace period.
pub(super) fn place_map(outer: BorrowedFd<'_>, place: u32, map: BorrowedFd<'_>) -> io::Result<()> {
    let value = map.as_raw_fd() as u32;
    let mut attribute = UpdateElement {
        map_fd: outer.as_raw_fd() as u32,
        padding: 0,
        key: std::ptr::from_ref(&place) as u64,
        value: std::ptr::from_ref(&value) as u64,
        flags: 0,
    };
    bpf(BPF_MAP_UPDATE_ELEM, &mut attribute).map(drop)
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct UpdateBatch {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    element_flags: u64,
    flags: u64,
}

/// Puts several inner maps into places of an outer map. Kernels from 6.4 on wait for one grace
/// period, older ones for one a map.
pub(super) fn place_maps(
    outer: BorrowedFd<'_>,
    places: &[u32],
    maps: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let values: Vec<u32> = maps.iter().map(|fd| fd.as_raw_fd() as u32).collect();
    let mut attribute = UpdateBatch {
        in_batch: 0,
        out_batch: 0,
        keys: places.as_ptr() as u64,
        values: values.as_ptr() as u64,
        count: places.len().min(values.len()) as u32,
        map_fd: outer.as_raw_fd() as u32,
        element_flags: 0,
        flags: 0,
    };
    bpf(BPF_MAP_UPDATE_BATCH, &mut attribute).map(drop)
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct InfoByFd {
    fd: u32,
    length: u32,
    info: u64,
}

fn info<T: Pod>(fd: BorrowedFd<'_>) -> io::Result<T> {
    let mut info = T::zeroed();
    let mut attribute = InfoByFd {
        fd: fd.as_raw_fd() as u32,
        length: std::mem::size_of::<T>() as u32,
        info: std::ptr::from_mut(&mut info) as u64,
    };
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attribute)?;
    Ok(info)
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct MapInfo {
    kind: u32,
    id: u32,
    key_size: u32,
    value_size: u32,
    entries: u32,
    flags: u32,
}

/// The shape of an open map.
pub(super) fn map_shape(fd: BorrowedFd<'_>) -> io::Result<MapShape> {
    let info: MapInfo = info(fd)?;
    Ok(MapShape {
        kind: info.kind,
        value_size: info.value_size,
        entries: info.entries,
        flags: info.flags,
    })
}

/// The kernel's identifier of an open map; none is given twice.
pub(super) fn map_id(fd: BorrowedFd<'_>) -> io::Result<u32> {
    let info: MapInfo = info(fd)?;
    Ok(info.id)
}

/// What a BPF link is attached to. For XDP and TCX links the word after the header is the index
/// of the device, 0 once the device is gone.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(super) struct LinkInfo {
    /// `BPF_LINK_TYPE_*`.
    pub(super) kind: u32,
    /// Link identifier.
    pub(super) id: u32,
    /// Identifier of its program.
    pub(super) program: u32,
    padding: u32,
    /// Index of the device.
    pub(super) device: u32,
    rest: [u32; 3],
}

/// Information about an open link.
pub(super) fn link_info(fd: BorrowedFd<'_>) -> io::Result<LinkInfo> {
    info(fd)
}

/// Waits until every packet that is being judged now has left the programs: a grace period that
/// began after the call. False where the kernel cannot be asked (CPUs without timer ticks).
pub(super) fn grace_period() -> bool {
    const MEMBARRIER_CMD_GLOBAL: i64 = 1;
    // SAFETY: membarrier takes no pointers.
    unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) == 0 }
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct LinkDetach {
    fd: u32,
}

/// Takes a link off its device at once; closing its last reference would do so a little later.
pub(super) fn link_detach(fd: BorrowedFd<'_>) -> io::Result<()> {
    const BPF_LINK_DETACH: i64 = 34;
    bpf(BPF_LINK_DETACH, &mut LinkDetach { fd: fd.as_raw_fd() as u32 }).map(drop)
}

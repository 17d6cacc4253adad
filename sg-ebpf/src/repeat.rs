//! Loops that the verifier looks through once.

use core::ffi::c_void;

use aya_ebpf::helpers::bpf_loop;

/// What a step works on.
struct Step<'a, T, S, F> {
    on: &'a T,
    state: &'a mut S,
    step: F,
}

/// Calls `step` up to `times` times, until it returns true. It is a function item, which has no size:
/// the kernel knows no function pointers but this one callback.
#[inline(always)]
pub(crate) fn repeat<T, S, F>(on: &T, times: u32, state: &mut S, step: F)
where
    F: Fn(&T, &mut S) -> bool + Copy,
{
    let mut context = Step { on, state, step };
    // SAFETY: the context lives as long as the loop, and the callback is made for its type.
    unsafe {
        bpf_loop(times, callback::<T, S, F> as *mut c_void, (&raw mut context).cast(), 0);
    }
}

/// One step; 1 ends the loop.
unsafe extern "C" fn callback<T, S, F>(_index: u32, context: *mut c_void) -> i64
where
    F: Fn(&T, &mut S) -> bool,
{
    // SAFETY: `repeat` gives its own context, which nobody else has.
    let context = unsafe { &mut *context.cast::<Step<'_, T, S, F>>() };
    i64::from((context.step)(context.on, context.state))
}

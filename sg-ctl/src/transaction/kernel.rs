//! What a transaction asks of the kernel side.

use crate::store::State;

/// Any error of another layer.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The kernel side of a change. Its methods are called by the holder of the host's lock, except
/// those that take `&self`.
///
/// The methods that clean up get the state that counts and bring the kernel to it from whatever an
/// interrupted command left. They are called again after an interruption, so each must be right
/// from any point at which it, or [`Kernel::prepare`], may have been killed.
pub trait Kernel {
    /// What [`Kernel::place`] hands to [`Kernel::prepare`].
    type Placed;
    /// Failure of any step.
    type Error: Into<BoxError>;

    /// The generation that the kernel enforces. `None` if it enforces none: there are no pins, or
    /// only those of a change that was never flipped to (first change ever, or after a restart). A
    /// word that is set up before the first flip must therefore be told from a generation: after a
    /// kill between the two, the committed generation must not be taken for one that is enforced.
    /// Generation 0 is never in force.
    ///
    /// # Errors
    /// If there are pins that cannot be read.
    fn generation(&self) -> Result<Option<u64>, Self::Error>;

    /// Looks anew at what there is, now that the lock is held: another process may have made or
    /// removed all of it since this was opened.
    ///
    /// # Errors
    /// If there are pins that cannot be used.
    fn reopen(&mut self) -> Result<(), Self::Error>;

    /// Gives everything of `wanted` its place for the state that becomes `generation`: the state
    /// that is stored, and what [`Kernel::prepare`] needs. Changes nothing, and of a state that has
    /// all its places it makes the same one.
    ///
    /// `old` is what the kernel enforces; an empty state where [`Kernel::generation`] is `None`, and
    /// also where what it enforces is not what the store knows: pins, links and images that `wanted`
    /// does not justify may then exist and must not be in the way.
    ///
    /// # Errors
    /// Limits that are exceeded.
    fn place(
        &self,
        generation: u64,
        old: &State,
        wanted: State,
    ) -> Result<(State, Self::Placed), Self::Error>;

    /// Does everything but the flip: loads images, attaches new links as pending, seeds connections,
    /// fills the idle directory. Nothing of it may change a verdict. Returns what people should
    /// know, one sentence each.
    ///
    /// # Errors
    /// [`Kernel::abandon`] is called next.
    fn prepare(&mut self, placed: Self::Placed) -> Result<Vec<String>, Self::Error>;

    /// Puts the prepared generation in force by one atomic store.
    ///
    /// # Errors
    /// If it is not in force.
    fn flip(&mut self, generation: u64) -> Result<(), Self::Error>;

    /// Whether [`Kernel::finish`] would have nothing to do. Cheap: every read asks it.
    ///
    /// # Errors
    /// If there are pins that cannot be read.
    fn is_finished(&self, state: &State) -> Result<bool, Self::Error>;

    /// Removes what `state`, which is committed and in force, does not have: links, pins and images
    /// of interfaces that left, and with the last interface everything.
    ///
    /// # Errors
    /// What stayed is tried again by the next command.
    fn finish(&mut self, state: &State) -> Result<(), Self::Error>;

    /// Removes what a failed or killed [`Kernel::prepare`] left. `state` is the one in force; where
    /// [`Kernel::generation`] is `None` nothing is in force and nothing may stay.
    ///
    /// # Errors
    /// The next command calls it again.
    fn abandon(&mut self, state: &State) -> Result<(), Self::Error>;
}

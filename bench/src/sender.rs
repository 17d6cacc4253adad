//! Sends the trace: a thread on a CPU, in a namespace of its own, with a program that makes packets
//! of the frames of a test run. What receives them runs on the same CPU, in softirqs.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use aya::maps::{Array, PerCpuArray, PerCpuValues};
use aya::programs::links::FdLink;
use aya::programs::tc::{TcAttachOptions, TcAttachType};
use aya::programs::{LinkOrder, SchedClassifier, Xdp, XdpMode};
use aya::util::nr_cpus;
use aya::{Ebpf, EbpfLoader, VerifierLogLevel};
use sg_common::tables::{TRACE_BYTES, TRACE_HEADERS, pin};
use sg_tests::namespace::Namespace;

use crate::clock::{Cpu, thread_time};
use crate::kernel;
use crate::lane::{Lane, Way};
use crate::trace::Packet;

/// The programs that the filter is compared with, as built.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("SG_PEERS_OBJECT"));

const WORDS: usize = TRACE_BYTES as usize / 8;

/// What a run cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Took {
    /// Nanoseconds of the CPU: of the sending thread, softirqs included, and of the thread that
    /// the kernel moves softirqs to when there are many.
    pub cpu: f64,
    /// Nanoseconds of the clock on the wall.
    pub wall: f64,
}

/// A loader whose messages of the verifier are short.
#[must_use]
pub fn loader<'a>() -> EbpfLoader<'a> {
    let mut loader = EbpfLoader::new();
    loader.verifier_log_level(VerifierLogLevel::STATS);
    loader
}

/// The sender, and the programs that need nothing but themselves.
pub struct Sender {
    /// Its namespace, in which the far ends of all lanes lie.
    pub namespace: Namespace,
    object: Ebpf,
    cpu: Cpu,
    lanes: usize,
}

impl Sender {
    /// Loads the programs.
    ///
    /// # Errors
    /// Where the kernel refuses them.
    pub fn new() -> Result<Self> {
        let namespace = Namespace::create();
        let mut object = loader()
            .map_max_entries(pin::TRACE, TRACE_HEADERS)
            .override_global("ETHERNET", &1_u32, true)
            .override_global("SHARDS", &1_u32, true)
            .load(OBJECT)
            .context("the programs of the comparison do not load")?;
        for name in ["peer_generate", "peer_empty", "peer_parse", "peer_parse_pass"] {
            xdp(&mut object, name)?.load().with_context(|| format!("{name} does not load"))?;
        }
        counter(&mut object)?.load().context("peer_count does not load")?;
        let [cpu] = Cpu::last()?;
        Ok(Self { namespace, object, cpu, lanes: 0 })
    }

    /// A new lane.
    ///
    /// # Errors
    /// See [`Lane::new`].
    pub fn lane(&mut self, way: Way) -> Result<Lane> {
        self.lanes += 1;
        Lane::new(&self.namespace, self.lanes, way)
    }

    /// Attaches one of the programs that need nothing but themselves; it stays as long as the lane.
    ///
    /// # Errors
    /// Where the kernel refuses it.
    pub fn attach(&mut self, lane: &Lane, name: &str) -> Result<FdLink> {
        attach(xdp(&mut self.object, name)?, lane)
    }

    /// Writes packets into the trace, again and again until it is full. The next run begins with
    /// the first.
    ///
    /// # Errors
    /// Without packets, or where the kernel refuses.
    pub fn fill(&mut self, packets: &[Packet]) -> Result<()> {
        if packets.is_empty() {
            bail!("there are no packets to send");
        }
        let map = self.object.map_mut(pin::TRACE).context("the object has no trace")?;
        let mut trace: Array<_, [u64; WORDS]> = Array::try_from(map)?;
        for (place, packet) in (0..TRACE_HEADERS).zip(packets.iter().cycle()) {
            let mut bytes = [0; TRACE_BYTES as usize];
            let length = packet.frame.len().min(bytes.len());
            bytes[..length].copy_from_slice(&packet.frame[..length]);
            trace.set(place, bytemuck::cast::<_, [u64; WORDS]>(bytes), 0)?;
        }
        self.rewind()
    }

    /// Begins with the first packet again.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn rewind(&mut self) -> Result<()> {
        let map = self.object.map_mut("SG_BENCH_NEXT").context("the object has no next number")?;
        let mut next: PerCpuArray<_, u64> = PerCpuArray::try_from(map)?;
        let cpus = nr_cpus().map_err(|(what, error)| anyhow::anyhow!("{what}: {error}"))?;
        next.set(0, PerCpuValues::try_from(vec![0; cpus])?, 0)?;
        Ok(())
    }

    /// Sends so many packets down a lane, on one CPU.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn send(&mut self, lane: &Lane, count: u32) -> Result<Took> {
        let cpu = self.cpu;
        self.send_on(lane, &[cpu], count)?.pop().context("no CPU sent")
    }

    /// Sends so many packets down a lane on each of some CPUs, all at the same time. Each goes
    /// through the whole trace by itself.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn send_on(&mut self, lane: &Lane, cpus: &[Cpu], count: u32) -> Result<Vec<Took>> {
        let map = self.object.map_mut("PEER_DEVICE").context("the object has no device")?;
        Array::<_, u32>::try_from(map)?.set(0, lane.entrance, 0)?;
        let program = xdp(&mut self.object, "peer_generate")?.fd()?.try_clone()?;
        let (namespace, start) = (&self.namespace, &Barrier::new(cpus.len()));
        let program = program.as_fd();
        std::thread::scope(|scope| {
            let senders: Vec<_> = cpus
                .iter()
                .map(|cpu| {
                    scope.spawn(move || namespace.run(|| send_here(*cpu, start, program, count)))
                })
                .collect();
            senders
                .into_iter()
                .map(|sender| {
                    sender.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                })
                .collect()
        })
    }

    /// Waits until what was sent has arrived: a few packets may wait for a thread of the kernel.
    pub fn settle(&self) {
        std::thread::sleep(Duration::from_millis(2));
    }

    /// Puts a counter behind the filter of a lane. It is gone when the link is dropped.
    ///
    /// # Errors
    /// Where the kernel refuses it.
    pub fn count_behind(&mut self, lane: &Lane) -> Result<FdLink> {
        let program = counter(&mut self.object)?;
        let device = crate::lane::DEVICE;
        let options = TcAttachOptions::TcxOrder(LinkOrder::first());
        lane.namespace.run(|| {
            let id = program.attach_with_options(device, TcAttachType::Ingress, options)?;
            anyhow::Ok(program.take_link(id)?.try_into()?)
        })
    }

    /// Packets that came to any counter so far.
    ///
    /// # Errors
    /// Where the kernel does not tell.
    pub fn counted(&mut self) -> Result<u64> {
        let map = self.object.map_mut("PEER_PASSED").context("the object has no counter")?;
        Ok(Array::<_, u64>::try_from(map)?.get(&0, 0)?)
    }
}

/// Sends from the calling thread when all are there.
fn send_here(cpu: Cpu, start: &Barrier, program: BorrowedFd<'_>, count: u32) -> Result<Took> {
    let held = cpu.hold();
    // Nobody is waited for in vain.
    start.wait();
    held.context("the sender cannot be kept on its CPU")?;
    let frame = [0; TRACE_BYTES as usize];
    let busy = || thread_time() + cpu.softirq_thread_time();
    let (start, before) = (Instant::now(), busy());
    kernel::run_live(program, &frame, count).context("frames are not sent")?;
    Ok(Took { cpu: busy() - before, wall: start.elapsed().as_nanos() as f64 })
}

/// A program of an object.
///
/// # Errors
/// If the object has none of that name.
pub fn xdp<'a>(object: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp> {
    let program = object.program_mut(name).with_context(|| format!("there is no {name}"))?;
    Ok(program.try_into()?)
}

fn counter(object: &mut Ebpf) -> Result<&mut SchedClassifier> {
    Ok(object.program_mut("peer_count").context("there is no peer_count")?.try_into()?)
}

/// Attaches a loaded program in the driver of a lane's device.
///
/// # Errors
/// Where the kernel refuses it.
pub fn attach(program: &mut Xdp, lane: &Lane) -> Result<FdLink> {
    lane.namespace.run(|| {
        let id = program.attach_to_if_index(lane.device, XdpMode::Driver)?;
        anyhow::Ok(program.take_link(id)?.try_into()?)
    })
}

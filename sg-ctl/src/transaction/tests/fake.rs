//! A kernel in files: it survives the process as pins do, and can be looked at from outside.
//!
//! ```text
//! word           the generation in force
//! directory-0/1  INTERFACE=CONTENT lines of even and odd generations
//! links/NAME     attached interfaces
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::fault;
use crate::policy::model::RuleId;
use crate::store::State;
use crate::transaction::Kernel;

/// What each interface is judged by.
pub(super) type Content = BTreeMap<String, String>;

pub(super) struct Fake {
    directory: PathBuf,
    /// Whether there was anything when it was opened.
    opened: bool,
    /// Step that fails, of `prepare`, `flip`, `finish`, `abandon`.
    pub(super) broken: Vec<&'static str>,
}

pub(super) struct Placed {
    generation: u64,
    content: Content,
}

impl Fake {
    pub(super) fn new(directory: &Path) -> Self {
        let directory = directory.join("kernel");
        Self { opened: directory.exists(), directory, broken: Vec::new() }
    }

    /// What a state wants of the kernel.
    pub(super) fn content(state: &State) -> Content {
        let interfaces = state.policy.interfaces.iter();
        let of = |(name, interface): (&std::sync::Arc<str>, _)| {
            (name.to_string(), format!("{interface:?} {:?}", state.policy.groups).replace('\n', ""))
        };
        interfaces.map(of).collect()
    }

    /// What is in force, and the links. Checks that an interface with an entry has a link: else it
    /// would be open.
    pub(super) fn in_force(&self) -> Option<(u64, Content, BTreeSet<String>)> {
        let generation = self.generation().unwrap()?;
        let content = self.read_directory(generation);
        let links = self.links();
        let missing: Vec<_> = content.keys().filter(|name| !links.contains(*name)).collect();
        assert!(missing.is_empty(), "open: {missing:?}");
        Some((generation, content, links))
    }

    /// What a restart of the host does.
    pub(super) fn reboot(&self) {
        let _ = fs::remove_dir_all(&self.directory);
    }

    /// Makes the kernel another one than the store's.
    pub(super) fn set_word(&self, generation: u64) {
        let new = self.directory.join("word.new");
        fs::write(&new, generation.to_string()).unwrap();
        fs::rename(new, self.directory.join("word")).unwrap();
    }

    fn links(&self) -> BTreeSet<String> {
        let Ok(entries) = fs::read_dir(self.directory.join("links")) else {
            return BTreeSet::new();
        };
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn directory_file(&self, generation: u64) -> PathBuf {
        self.directory.join(format!("directory-{}", generation & 1))
    }

    fn read_directory(&self, generation: u64) -> Content {
        let text = fs::read_to_string(self.directory_file(generation)).unwrap_or_default();
        let entry = |line: &str| line.split_once('=').map(|(n, c)| (n.to_owned(), c.to_owned()));
        text.lines().filter_map(entry).collect()
    }

    fn step(&self, step: &str) -> io::Result<()> {
        match self.broken.contains(&step) {
            true => Err(io::Error::other(format!("{step} is broken"))),
            false => Ok(()),
        }
    }

    fn retain(&self, state: &State) -> io::Result<()> {
        for link in self.links() {
            if state.endpoints.get(&link).is_none() {
                fs::remove_file(self.directory.join("links").join(link))?;
            }
        }
        if state.endpoints.is_empty() {
            // The word first, as its pin goes first.
            let _ = fs::remove_file(self.directory.join("word"));
            fault::point("detached")?;
            self.reboot();
        }
        Ok(())
    }
}

impl Kernel for Fake {
    type Placed = Placed;
    type Error = io::Error;

    fn generation(&self) -> io::Result<Option<u64>> {
        if !self.opened {
            return Ok(None);
        }
        match fs::read_to_string(self.directory.join("word")) {
            Ok(text) => Ok(text.parse().ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn reopen(&mut self) -> io::Result<()> {
        // Like pins, what was there before the lock was taken may be another kernel's by now.
        self.opened = self.directory.exists();
        Ok(())
    }

    fn place(
        &self,
        generation: u64,
        _old: &State,
        mut wanted: State,
    ) -> io::Result<(State, Placed)> {
        let interfaces = wanted.policy.interfaces.iter();
        let sides: Vec<_> = interfaces.map(|(name, i)| (name.clone(), i.side)).collect();
        wanted.endpoints.assign(sides, generation).map_err(io::Error::other)?;
        let rules: Vec<_> = wanted
            .policy
            .groups
            .iter()
            .flat_map(|(name, group)| group.ingress.iter().map(move |rule| (name, rule)))
            .map(|(name, rule)| RuleId::of(name, crate::policy::model::Direction::Ingress, rule))
            .collect();
        wanted.assign_slots(rules, generation).map_err(io::Error::other)?;
        let content = Self::content(&wanted);
        Ok((wanted, Placed { generation, content }))
    }

    fn prepare(&mut self, placed: Placed) -> io::Result<Vec<String>> {
        let links = self.directory.join("links");
        if !self.opened {
            self.reboot();
            self.opened = true;
        }
        fs::create_dir_all(&links)?;
        fault::point("images-loaded")?;
        for name in placed.content.keys() {
            fs::write(links.join(name), "")?;
        }
        fault::point("links-attached")?;
        self.step("prepare")?;
        let lines = placed.content.iter().map(|(name, content)| format!("{name}={content}\n"));
        fs::write(self.directory_file(placed.generation), lines.collect::<String>())?;
        fault::point("directory-written")?;
        Ok(vec!["eth9: falls back".into()])
    }

    fn flip(&mut self, generation: u64) -> io::Result<()> {
        self.step("flip")?;
        self.set_word(generation);
        Ok(())
    }

    fn is_finished(&self, state: &State) -> io::Result<bool> {
        let stray = self.links().iter().any(|link| state.endpoints.get(link).is_none());
        let pinned = state.endpoints.is_empty() && self.directory.exists();
        Ok(!(stray || pinned))
    }

    fn finish(&mut self, state: &State) -> io::Result<()> {
        self.step("finish")?;
        self.retain(state)
    }

    fn abandon(&mut self, state: &State) -> io::Result<()> {
        self.step("abandon")?;
        if self.generation()?.is_none() {
            self.reboot();
        }
        self.retain(state)
    }
}

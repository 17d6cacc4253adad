//! Options that every command has.

use std::path::PathBuf;

use clap::{ArgAction, ValueEnum};

/// Form of listings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Text for people.
    #[default]
    Table,
    /// One JSON value.
    Json,
}

// No comment on the struct: it would become the help of every command that it is part of.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Global {
    /// Work in this network namespace
    ///
    /// A name as in /run/netns, or the path of a namespace. State and pins of a named namespace lie
    /// in `netns/NAME` below the default directories; one without a name needs --state-dir and
    /// --bpffs. Without this option the caller's namespace is used.
    #[arg(long, global = true, value_name = "NAME|PATH", help_heading = HEADING)]
    pub(crate) netns: Option<String>,

    /// Where the state is kept [default: /var/lib/sg-ctl]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "SG_STATE_DIR",
        hide_env_values = true,
        help_heading = HEADING
    )]
    pub(crate) state_dir: Option<PathBuf>,

    /// Where programs and tables are pinned [default: /sys/fs/bpf/sg-ctl]
    ///
    /// A directory of a BPF file system, which is mounted if it is not. One that would not outlive
    /// the command is refused.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "SG_BPFFS",
        hide_env_values = true,
        help_heading = HEADING
    )]
    pub(crate) bpffs: Option<PathBuf>,

    /// Form of the output
    ///
    /// `json` prints exactly one JSON value, also for an error. It has the number of its `schema`;
    /// fields are only ever added to it.
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORM",
        help_heading = HEADING
    )]
    pub(crate) output: Output,

    /// Say more on standard error; twice for more still
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = HEADING)]
    pub(crate) verbose: u8,

    /// No colours, as with NO_COLOR in the environment
    #[arg(long, global = true, help_heading = HEADING)]
    pub(crate) no_color: bool,
}

const HEADING: &str = "Global options";

impl Global {
    /// Names of options that are given, and not by the environment alone.
    pub(crate) fn given(&self) -> Vec<&'static str> {
        let by_environment = |value: &Option<PathBuf>, variable: &str| match value {
            None => true,
            Some(path) => std::env::var_os(variable).is_some_and(|set| set == path.as_os_str()),
        };
        let all = [
            (self.netns.is_some(), "--netns"),
            (!by_environment(&self.state_dir, "SG_STATE_DIR"), "--state-dir"),
            (!by_environment(&self.bpffs, "SG_BPFFS"), "--bpffs"),
            (self.output != Output::default(), "--output"),
            (self.verbose > 0, "--verbose"),
            (self.no_color, "--no-color"),
        ];
        all.into_iter().filter_map(|(given, name)| given.then_some(name)).collect()
    }
}

//! The seam between this crate and the host.
//!
//! In a component every call goes to the imports of the contract. Anywhere else, where plugins are
//! tested natively, it goes to a stand-in of this thread ([`crate::testing`]); without one, every
//! call is denied.
//!
//! On the component's side nothing is dynamic: a function that a plugin does not call is left out
//! of it by the linker, and so is its import.

use crate::Error;
use crate::artifact::Description;
use crate::bindings::imports::vaultup::plugin::{http, log, process};
use crate::files::{Entry, Room};
use crate::operation::Figure;

/// Everything that a plugin may ask of the host besides files.
pub trait Host {
    /// What an opened path of the operator's is; it has [`Files`].
    type Root;
    /// What a command under way is; it has [`UnderWay`].
    type Running;
    /// What a command is whose whole output is wanted; `finish` waits for it.
    type Begun;

    /// `process.run`.
    ///
    /// # Errors
    /// If it is not granted or does not start.
    fn run(&self, command: &process::Command) -> Result<process::Finished, Error>;
    /// `process.start`.
    ///
    /// # Errors
    /// As [`Host::run`].
    fn start(&self, command: &process::Command) -> Result<Self::Running, Error>;
    /// `process.begin`.
    ///
    /// # Errors
    /// As [`Host::run`].
    fn begin(&self, command: &process::Command) -> Result<Self::Begun, Error>;
    /// `files.root.open`.
    ///
    /// # Errors
    /// If it is not granted or does not stand in the settings.
    fn open(&self, key: &str) -> Result<Self::Root, Error>;
    /// `artifact.all`.
    ///
    /// # Errors
    /// If the operation has no backup set.
    fn artifacts(&self) -> Result<Vec<Description>, Error>;
    /// `artifact.check`.
    ///
    /// # Errors
    /// If it is damaged or does not exist.
    fn check_artifact(&self, name: &str) -> Result<Description, Error>;
    /// `artifact.head`.
    ///
    /// # Errors
    /// As [`Host::check_artifact`].
    fn artifact_head(&self, name: &str, bytes_max: u32) -> Result<Vec<u8>, Error>;
    /// `artifact.next`.
    ///
    /// # Errors
    /// As [`Host::check_artifact`], or if it holds a secret.
    fn artifact_next(&self, name: &str, bytes_max: u32) -> Result<Vec<u8>, Error>;
    /// `http.send`.
    ///
    /// # Errors
    /// If it is not granted or there was no answer.
    fn send(&self, request: &http::Request) -> Result<http::Response, Error>;
    /// `secret.available`.
    ///
    /// # Errors
    /// If its source cannot be asked.
    fn secret_available(&self, name: &str) -> Result<bool, Error>;
    /// `log.write`.
    fn log(&self, level: log::Level, text: &str);
    /// `progress.report`.
    fn progress(&self, done: u64, total: Option<u64>, unit: &str);
    /// `cancel.requested`.
    fn cancel_requested(&self) -> bool;
    /// `clock.now`.
    fn now(&self) -> u64;
    /// `clock.pause`.
    ///
    /// # Errors
    /// If the call is to end.
    fn pause(&self, milliseconds: u64) -> Result<(), Error>;
}

/// A command under way.
pub trait UnderWay {
    /// `running.next-line`.
    ///
    /// # Errors
    /// If the host gave up on it.
    fn next_line(&self) -> Result<Option<process::Line>, Error>;
    /// `running.ended`.
    ///
    /// # Errors
    /// If the host gave up on it.
    fn ended(&self) -> Result<bool, Error>;
    /// `running.finish`.
    ///
    /// # Errors
    /// If the host gave up on it.
    fn finish(&self) -> Result<process::Exit, Error>;
}

/// An opened path of the operator's. The functions, and their errors, are those of the contract.
#[expect(clippy::missing_errors_doc, reason = "documented where plugins call it: `files::Root`")]
pub trait Files {
    /// `root.path`.
    fn path(&self, relative: &str) -> Result<String, Error>;
    /// `root.describe`.
    fn describe(&self, relative: &str) -> Result<Option<Entry>, Error>;
    /// `root.entries`.
    fn entries(&self, relative: &str) -> Result<Vec<Entry>, Error>;
    /// `root.read`.
    fn read(&self, relative: &str) -> Result<Vec<u8>, Error>;
    /// `root.measure`.
    fn measure(&self, relative: &str) -> Result<Figure, Error>;
    /// `root.room`.
    fn room(&self) -> Result<Room, Error>;
    /// `root.write`.
    fn write(&self, relative: &str, content: &[u8]) -> Result<(), Error>;
    /// `root.link`.
    fn link(&self, relative: &str, to: &str) -> Result<(), Error>;
    /// `root.create-directory`.
    fn create_directory(&self, relative: &str) -> Result<(), Error>;
    /// `root.rename`.
    fn rename(&self, source: &str, destination: &str) -> Result<(), Error>;
    /// `root.exchange`.
    fn exchange(&self, first: &str, second: &str) -> Result<(), Error>;
    /// `root.remove`.
    fn remove(&self, relative: &str) -> Result<(), Error>;
}

#[cfg(target_family = "wasm")]
pub(crate) use component::{Begun, Root, Running, host};

#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::testing::{Begun, Root, Running, host};

/// The imports of the contract.
#[cfg(target_family = "wasm")]
mod component {
    use super::{Description, Entry, Error, Figure, Files, Host, Room, UnderWay};
    use crate::bindings::imports::vaultup::plugin::{
        artifact, cancel, clock, files, http, log, process, progress, secret,
    };

    pub(crate) struct Imports;
    pub(crate) struct Root(files::Root);
    pub(crate) struct Running(process::Running);
    pub(crate) struct Begun(process::Begun);

    pub(crate) fn host() -> Imports {
        Imports
    }

    impl Host for Imports {
        type Root = Root;
        type Running = Running;
        type Begun = Begun;

        fn run(&self, command: &process::Command) -> Result<process::Finished, Error> {
            Ok(process::run(command)?)
        }
        fn start(&self, command: &process::Command) -> Result<Running, Error> {
            Ok(Running(process::start(command)?))
        }
        fn begin(&self, command: &process::Command) -> Result<Begun, Error> {
            Ok(Begun(process::begin(command)?))
        }
        fn open(&self, key: &str) -> Result<Root, Error> {
            Ok(Root(files::Root::open(key)?))
        }
        fn artifacts(&self) -> Result<Vec<Description>, Error> {
            Ok(artifact::all()?)
        }
        fn check_artifact(&self, name: &str) -> Result<Description, Error> {
            Ok(artifact::check(name)?)
        }
        fn artifact_head(&self, name: &str, bytes_max: u32) -> Result<Vec<u8>, Error> {
            Ok(artifact::head(name, bytes_max)?)
        }
        fn artifact_next(&self, name: &str, bytes_max: u32) -> Result<Vec<u8>, Error> {
            Ok(artifact::next(name, bytes_max)?)
        }
        fn send(&self, request: &http::Request) -> Result<http::Response, Error> {
            Ok(http::send(request)?)
        }
        fn secret_available(&self, name: &str) -> Result<bool, Error> {
            Ok(secret::available(name)?)
        }
        fn log(&self, level: log::Level, text: &str) {
            log::write(level, text);
        }
        fn progress(&self, done: u64, total: Option<u64>, unit: &str) {
            progress::report(done, total, unit);
        }
        fn cancel_requested(&self) -> bool {
            cancel::requested()
        }
        fn now(&self) -> u64 {
            clock::now()
        }
        fn pause(&self, milliseconds: u64) -> Result<(), Error> {
            Ok(clock::pause(milliseconds)?)
        }
    }

    impl Begun {
        pub(crate) fn ended(&self) -> Result<bool, Error> {
            Ok(self.0.ended()?)
        }
        pub(crate) fn finish(&self) -> Result<process::Finished, Error> {
            Ok(self.0.finish()?)
        }
    }

    impl UnderWay for Running {
        fn next_line(&self) -> Result<Option<process::Line>, Error> {
            Ok(self.0.next_line()?)
        }
        fn ended(&self) -> Result<bool, Error> {
            Ok(self.0.ended()?)
        }
        fn finish(&self) -> Result<process::Exit, Error> {
            Ok(self.0.finish()?)
        }
    }

    impl Files for Root {
        fn path(&self, relative: &str) -> Result<String, Error> {
            Ok(self.0.path(relative)?)
        }
        fn describe(&self, relative: &str) -> Result<Option<Entry>, Error> {
            Ok(self.0.describe(relative)?)
        }
        fn entries(&self, relative: &str) -> Result<Vec<Entry>, Error> {
            Ok(self.0.entries(relative)?)
        }
        fn read(&self, relative: &str) -> Result<Vec<u8>, Error> {
            Ok(self.0.read(relative)?)
        }
        fn measure(&self, relative: &str) -> Result<Figure, Error> {
            Ok(self.0.measure(relative)?)
        }
        fn room(&self) -> Result<Room, Error> {
            Ok(self.0.room()?)
        }
        fn write(&self, relative: &str, content: &[u8]) -> Result<(), Error> {
            Ok(self.0.write(relative, content)?)
        }
        fn link(&self, relative: &str, to: &str) -> Result<(), Error> {
            Ok(self.0.link(relative, to)?)
        }
        fn create_directory(&self, relative: &str) -> Result<(), Error> {
            Ok(self.0.create_directory(relative)?)
        }
        fn rename(&self, source: &str, destination: &str) -> Result<(), Error> {
            Ok(self.0.rename(source, destination)?)
        }
        fn exchange(&self, first: &str, second: &str) -> Result<(), Error> {
            Ok(self.0.exchange(first, second)?)
        }
        fn remove(&self, relative: &str) -> Result<(), Error> {
            Ok(self.0.remove(relative)?)
        }
    }
}

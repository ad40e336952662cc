//! A terminal of our own, for programs that ask for a password: what they print is read, what a
//! person would type is written, and echo shows.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;

use nix::pty::openpty;

use crate::wait::{self, LIMIT};

pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    /// Everything shown so far, and how much of it has been looked at.
    pub shown: String,
    read: usize,
}

impl Terminal {
    /// Runs a program with a new terminal as its standard streams and its controlling terminal.
    pub fn run(command: &Command) -> Self {
        let pty = openpty(None, None).unwrap();
        let side = || Stdio::from(pty.slave.try_clone().unwrap());
        // setsid -c makes standard input the controlling terminal: /dev/tty is ours too.
        let mut wrapped = Command::new("setsid");
        wrapped.args(["-c", "-w"]).arg(command.get_program());
        wrapped.args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => wrapped.env(name, value),
                None => wrapped.env_remove(name),
            };
        }
        let child = wrapped
            .stdin(side())
            .stdout(side())
            .stderr(side())
            .spawn()
            .unwrap();
        drop(wrapped); // with its copies of the terminal's other side
        drop(pty.slave);
        let keyboard = File::from(pty.master);
        let mut reader = keyboard.try_clone().unwrap();
        let (sender, screen) = channel();
        thread::spawn(move || {
            let mut chunk = [0; 1024];
            // The end of the last process on a terminal reads as an error.
            while let Ok(n @ 1..) = reader.read(&mut chunk) {
                if sender.send(chunk[..n].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            keyboard,
            screen,
            shown: String::new(),
            read: 0,
        }
    }

    /// Waits until `prompt` is shown, after all that was waited for before.
    #[track_caller]
    pub fn expect(&mut self, prompt: &str) {
        loop {
            if let Some(at) = self.shown[self.read..].find(prompt) {
                self.read += at + prompt.len();
                return;
            }
            match self.screen.recv_timeout(LIMIT) {
                Ok(bytes) => self.shown += &String::from_utf8_lossy(&bytes),
                Err(e) => panic!("no {prompt:?} ({e}) in {:?}", self.shown),
            }
        }
    }

    pub fn type_line(&mut self, text: &str) {
        self.keyboard
            .write_all(format!("{text}\n").as_bytes())
            .unwrap();
    }

    /// Waits for the end: the exit code and all that was shown.
    pub fn finish(mut self) -> (i32, String) {
        loop {
            match self.screen.recv_timeout(LIMIT) {
                Ok(bytes) => self.shown += &String::from_utf8_lossy(&bytes),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("no end after {:?}", self.shown),
            }
        }
        let status = wait::until("the program's end", || self.child.try_wait().unwrap());
        (status.code().unwrap_or(-1), self.shown.clone())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

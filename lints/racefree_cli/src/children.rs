//! Runs other programs to their end, also where this process does not learn how they ended.
//!
//! The virtual machine of Erlang ignores the signal that tells of a child's end, and then the system forgets the exit status. So there a shell stands in
//! between and writes the status down. Programs must bear to be run twice: that the status is lost shows afterwards.

use std::ffi::OsStr;
use std::io;
use std::process::{Command, Output};

/// Runs `program`, which only reads, in the environment of this process and with `variables`.
pub(crate) fn output(program: &str, arguments: &[&OsStr], variables: &[(&str, &str)]) -> io::Result<Output> {
    match Command::new(program).args(arguments).envs(variables.iter().copied()).output() {
        #[cfg(unix)]
        Err(error) if error.raw_os_error() == Some(unix::NO_CHILD) => unix::output_by_shell(program, arguments, variables),
        outcome => outcome,
    }
}

#[cfg(unix)]
mod unix {
    use std::ffi::OsStr;
    use std::io::{self, Read};
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, ExitStatus, Output, Stdio};
    use std::thread;

    /// `ECHILD`, everywhere.
    pub(super) const NO_CHILD: i32 = 10;

    /// The program's exit status stands behind the last line break of the error output, which nobody writes to any more.
    const SCRIPT: &str = r#""$@"; printf '\n%s' "$?" >&2"#;

    pub(super) fn output_by_shell(program: &str, arguments: &[&OsStr], variables: &[(&str, &str)]) -> io::Result<Output> {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "sh", program]).args(arguments).envs(variables.iter().copied());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let messages = thread::spawn(|| read(err));
        let stdout = read(out)?;
        let mut stderr = messages.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))?;
        // Where it is not lost, it is that of the shell.
        drop(child.wait());
        let end = stderr.iter().rposition(|byte| *byte == b'\n').ok_or(io::ErrorKind::UnexpectedEof)?;
        let status = stderr.split_off(end);
        let status = str::from_utf8(&status).ok().and_then(|status| status.trim_start().parse::<i32>().ok());
        let status = status.ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(Output { status: ExitStatus::from_raw(status << 8), stdout, stderr })
    }

    fn read(stream: Option<impl Read>) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            stream.read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        /// What both ways have to give.
        fn both(script: &str) -> [(Option<i32>, Vec<u8>, Vec<u8>); 2] {
            let arguments = ["-c", script, "it's"].map(OsStr::new);
            let variables = [("ANSWER", "42")];
            let plain = Command::new("sh").args(arguments).envs(variables).output().unwrap();
            [plain, output_by_shell("sh", &arguments, &variables).unwrap()]
                .map(|output| (output.status.code(), output.stdout, output.stderr))
        }

        #[test]
        fn gives_what_the_program_alone_gives() {
            for script in [
                r#"echo "$0 $ANSWER"; echo problem >&2; exit 3"#,
                "printf out; printf 'no line break' >&2",
                "exit 0",
                // More than pipes hold, on both sides.
                "head -c 300000 /dev/zero >&2; head -c 300000 /dev/zero; exit 1",
            ] {
                let [plain, by_shell] = both(script);
                assert_eq!(plain, by_shell, "{script}");
            }
        }

        #[test]
        fn says_so_when_there_is_no_such_program() {
            let output = output_by_shell("no-such-program-anywhere", &[], &[]).unwrap();
            assert_eq!(output.status.code(), Some(127));
        }
    }
}

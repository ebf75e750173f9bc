//! What the numbers of the operating system are called, so that who reads of a failure need not look them up.
//!
//! The table has what Linux gives for files and directories: of local disks, network file systems, encrypted and checked ones. A number that is not in it stays a number.

use super::failure::Failure;
use rustix::io::Errno;
use std::io::ErrorKind;

const NAMES: &[(Errno, &str)] = &[
    (Errno::ACCESS, "eacces"),
    (Errno::AGAIN, "eagain"),
    (Errno::BADF, "ebadf"),
    (Errno::BADMSG, "ebadmsg"),
    (Errno::BUSY, "ebusy"),
    (Errno::CANCELED, "ecanceled"),
    (Errno::CONNABORTED, "econnaborted"),
    (Errno::CONNREFUSED, "econnrefused"),
    (Errno::CONNRESET, "econnreset"),
    (Errno::DEADLK, "edeadlk"),
    (Errno::DQUOT, "edquot"),
    (Errno::EXIST, "eexist"),
    (Errno::FAULT, "efault"),
    (Errno::FBIG, "efbig"),
    (Errno::HOSTDOWN, "ehostdown"),
    (Errno::HOSTUNREACH, "ehostunreach"),
    (Errno::INTR, "eintr"),
    (Errno::INVAL, "einval"),
    (Errno::IO, "eio"),
    (Errno::ISDIR, "eisdir"),
    (Errno::LOOP, "eloop"),
    (Errno::MFILE, "emfile"),
    (Errno::MLINK, "emlink"),
    (Errno::NAMETOOLONG, "enametoolong"),
    (Errno::NETDOWN, "enetdown"),
    (Errno::NETUNREACH, "enetunreach"),
    (Errno::NFILE, "enfile"),
    (Errno::NOBUFS, "enobufs"),
    (Errno::NODEV, "enodev"),
    (Errno::NOENT, "enoent"),
    (Errno::NOLCK, "enolck"),
    (Errno::NOLINK, "enolink"),
    (Errno::NOMEM, "enomem"),
    (Errno::NOSPC, "enospc"),
    (Errno::NOSYS, "enosys"),
    (Errno::NOTBLK, "enotblk"),
    (Errno::NOTCONN, "enotconn"),
    (Errno::NOTDIR, "enotdir"),
    (Errno::NOTEMPTY, "enotempty"),
    (Errno::NXIO, "enxio"),
    (Errno::OPNOTSUPP, "eopnotsupp"),
    (Errno::OVERFLOW, "eoverflow"),
    (Errno::PERM, "eperm"),
    (Errno::PIPE, "epipe"),
    (Errno::PROTO, "eproto"),
    (Errno::RANGE, "erange"),
    (Errno::ROFS, "erofs"),
    (Errno::SPIPE, "espipe"),
    (Errno::STALE, "estale"),
    (Errno::TIMEDOUT, "etimedout"),
    (Errno::TXTBSY, "etxtbsy"),
    (Errno::USERS, "eusers"),
    (Errno::XDEV, "exdev"),
];

/// What only Linux has.
#[cfg(target_os = "linux")]
const MORE_NAMES: &[(Errno, &str)] = &[
    (Errno::COMM, "ecomm"),
    (Errno::HWPOISON, "ehwpoison"),
    (Errno::KEYEXPIRED, "ekeyexpired"),
    (Errno::KEYREJECTED, "ekeyrejected"),
    (Errno::KEYREVOKED, "ekeyrevoked"),
    (Errno::MEDIUMTYPE, "emediumtype"),
    (Errno::NODATA, "enodata"),
    (Errno::NOKEY, "enokey"),
    (Errno::NOMEDIUM, "enomedium"),
    (Errno::REMOTEIO, "eremoteio"),
    (Errno::SHUTDOWN, "eshutdown"),
    (Errno::TIME, "etime"),
    (Errno::UCLEAN, "euclean"),
];
#[cfg(not(target_os = "linux"))]
const MORE_NAMES: &[(Errno, &str)] = &[];

impl Failure {
    /// The system's name of the cause, in lower case. `None`: it has a number that is not in the table, or none and is of no kind that the system has a name for.
    pub fn posix_name(&self) -> Option<&'static str> {
        let Some(code) = self.os_code else { return without_number(self.kind) };
        NAMES.iter().chain(MORE_NAMES).find(|(errno, _)| errno.raw_os_error() == code).map(|(_, name)| *name)
    }
}

/// Of errors that the library or we ourselves found before the system could.
fn without_number(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::OutOfMemory => Some("enomem"),
        ErrorKind::NotFound => Some("enoent"),
        ErrorKind::PermissionDenied => Some("eacces"),
        ErrorKind::AlreadyExists => Some("eexist"),
        ErrorKind::InvalidInput => Some("einval"),
        ErrorKind::StorageFull => Some("enospc"),
        ErrorKind::QuotaExceeded => Some("edquot"),
        // A disk that takes or gives less than it has to, without a word.
        ErrorKind::WriteZero | ErrorKind::UnexpectedEof => Some("eio"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Operation;

    fn named(code: i32) -> Option<&'static str> {
        let error = std::io::Error::from_raw_os_error(code);
        Failure::new(Operation::Read, &error).posix_name()
    }

    #[test]
    #[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
    fn numbers_have_the_names_of_the_system() {
        let known = [
            (1, "eperm"),
            (2, "enoent"),
            (5, "eio"),
            (6, "enxio"),
            (12, "enomem"),
            (13, "eacces"),
            (16, "ebusy"),
            (23, "enfile"),
            (24, "emfile"),
            (27, "efbig"),
            (28, "enospc"),
            (30, "erofs"),
            (36, "enametoolong"),
            (117, "euclean"),
            (122, "edquot"),
        ];
        for (code, name) in known {
            assert_eq!(named(code), Some(name), "{code}");
        }
        assert_eq!(named(4095), None);
    }

    #[test]
    fn no_number_and_no_name_stands_twice() {
        let all: Vec<_> = NAMES.iter().chain(MORE_NAMES).collect();
        for (index, (errno, name)) in all.iter().enumerate() {
            assert!(all[..index].iter().all(|(other, said)| other != errno && said != name), "{name}");
            assert_eq!(named(errno.raw_os_error()), Some(*name));
        }
    }

    #[test]
    fn memory_that_was_not_to_be_had_is_no_error_of_the_disk() {
        let failure = |kind| Failure { operation: Operation::Read, kind, os_code: None }.posix_name();
        assert_eq!(failure(ErrorKind::OutOfMemory), Some("enomem"));
        assert_eq!(failure(ErrorKind::WriteZero), Some("eio"));
        assert_eq!(failure(ErrorKind::Other), None);
    }
}

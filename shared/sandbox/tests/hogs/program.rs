//! Programs that take whatever they can get. Each says `over` on its standard output when it is past what the test gave it,
//! and goes on.
//!
//! Arguments: a marker, by which the test finds it among all processes; the name of the hog; how much the limit is, in its unit.

mod kernel;

use std::fs::{self, File, OpenOptions};
use std::hint::black_box;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::process::ExitCode;

/// What is taken at a time: small enough to be past a limit by little.
const PIECE_BYTES: usize = 1024 * 1024;

/// A page of memory: touching one byte of it takes all of it.
const PAGE_BYTES: usize = 4096;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(2).collect();
    let limit = args
        .get(1)
        .and_then(|limit| limit.parse().ok())
        .unwrap_or(u64::MAX);
    let ended = match args.first().map(String::as_str) {
        Some("fork_bomb") => fork_bomb(limit),
        Some("chained_forkers") => chained_forkers(),
        Some("anonymous_memory") => memory(limit, libc::MAP_PRIVATE),
        Some("shared_memory") => memory(limit, libc::MAP_SHARED),
        Some("unreadable_name") => unreadable_name().and_then(|()| memory(limit, libc::MAP_PRIVATE)),
        Some("headless") => headless(move || {
            (0..limit * 2 / PIECE_BYTES as u64).try_for_each(|_| touch(libc::MAP_PRIVATE))?;
            over();
            hold_for_ever()
        }),
        Some("headless_deleted_file") => headless(move || fill(deleted_file(), limit)),
        Some("page_tables") => page_tables(limit),
        Some("unseen_shared_memory") => kernel::unseen_shared_memory(limit),
        Some("sockets") => kernel::sockets(limit),
        Some("pipes") => kernel::pipes(limit),
        Some("descriptors") => kernel::descriptors(limit),
        Some("file_in_flight") => kernel::file_in_flight(limit),
        Some("closed_process") => kernel::closed_process(limit),
        Some("big_file") => fill(File::create("big-file"), limit),
        Some("deleted_file") => fill(deleted_file(), limit),
        Some("deep_file") => deep_folder().and_then(|()| fill(File::create("big-file"), limit)),
        Some("closed_folder") => closed_folder().and_then(|file| fill(Ok(file), limit)),
        Some("mapped_files") => mapped_files(limit),
        Some("temporary_file") => fill(File::create(std::env::temp_dir().join("big-file")), limit),
        Some("shared_memory_file") => fill(File::create("/dev/shm/big-file"), limit),
        Some("many_files") => many_files(limit),
        Some("empty_files") => empty_files(limit * 4, limit).and_then(|()| hold_for_ever()),
        // Three quarters are there before, which takes long to be walked through.
        Some("wide_tree") => {
            empty_files(limit / 4 * 3, u64::MAX).and_then(|()| fill(File::create("big-file"), limit / 4))
        }
        Some("endless_output") => endless_output(),
        Some("busy") => busy(),
        _ => return ExitCode::from(2),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The exit code says it too.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

/// Says that the limit is behind it. Standard output may be gone, and that must not end the hog.
fn over() {
    let _ = io::stdout().write_all(b"over\n");
    let _ = io::stdout().flush();
}

/// 0 in the child, -1 where there may be no more processes.
fn fork() -> i32 {
    #[expect(unsafe_code, reason = "fork has no safe wrapper")]
    // SAFETY: this program has one thread.
    unsafe {
        libc::fork()
    }
}

fn hold_for_ever() -> ! {
    loop {
        rustix::event::pause();
    }
}

/// Every process forks without end; those that cannot any more stay and try again.
fn fork_bomb(limit: u64) -> io::Result<()> {
    let mut made: u64 = 0;
    loop {
        if fork() == -1 {
            over();
            let millisecond = rustix::event::Timespec {
                tv_sec: 0,
                tv_nsec: 1_000_000,
            };
            rustix::event::poll(&mut [], Some(&millisecond))?;
            continue;
        }
        made += 1;
        // Children count on from where they were made; the first process makes as many as the limit by itself.
        if made == limit {
            over();
        }
    }
}

/// A session of its own, a child, and away: whoever looks sees a process that is already gone. The first process ends
/// when its chain is well under way.
fn chained_forkers() -> io::Result<()> {
    const CHAINS: usize = 4;
    /// So many links are there before the first process says that the chain is under way.
    const LINKS: usize = 50;
    let (mut reader, mut writer) = io::pipe()?;
    for _ in 0..CHAINS {
        if fork() == 0 {
            for link in 0u64.. {
                // Fails for a leader, whose child then is none.
                let _ = rustix::process::setsid();
                if link == LINKS as u64 {
                    writer.write_all(b"x")?;
                }
                if fork() > 0 {
                    std::process::exit(0);
                }
            }
        }
    }
    io::Read::read_exact(&mut reader, &mut [0; CHAINS])?;
    over();
    hold_for_ever()
}

/// Takes the limit twice, in four processes: no limit of a single one is reached.
fn memory(limit: u64, kind: libc::c_int) -> io::Result<()> {
    const PROCESSES: usize = 4;
    let (mut reader, mut writer) = io::pipe()?;
    for _ in 0..PROCESSES {
        if fork() == 0 {
            for _ in 0..limit * 2 / (PROCESSES * PIECE_BYTES) as u64 {
                touch(kind)?;
            }
            writer.write_all(b"x")?;
            hold_for_ever();
        }
    }
    // The kill may come before all are there; then nobody waits for the word.
    io::Read::read_exact(&mut reader, &mut [0; PROCESSES])?;
    over();
    hold_for_ever()
}

fn touch(kind: libc::c_int) -> io::Result<()> {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    #[expect(unsafe_code, reason = "shared anonymous memory has no safe wrapper")]
    // SAFETY: new memory at an address of the kernel's choice, never unmapped; it is as long as the slice made of it.
    let piece = unsafe {
        let start = libc::mmap(
            std::ptr::null_mut(),
            PIECE_BYTES,
            access,
            kind | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        std::slice::from_raw_parts_mut(start.cast::<u8>(), PIECE_BYTES)
    };
    for byte in piece.iter_mut().step_by(PAGE_BYTES) {
        *byte = 1;
    }
    black_box(piece);
    Ok(())
}

/// A name that is no text, for whoever reads `/proc` as text.
fn unreadable_name() -> io::Result<()> {
    Ok(rustix::thread::set_name(c"\xff\xfe")?)
}

/// Goes on in a second thread, while the first one has ended: the process looks like a zombie.
fn headless(hog: impl FnOnce() -> io::Result<()> + Send + 'static) -> ! {
    std::thread::spawn(|| {
        if let Err(error) = hog() {
            let _ = writeln!(io::stderr(), "{error}");
        }
        std::process::exit(1)
    });
    #[expect(unsafe_code, reason = "the end of one thread has no safe wrapper")]
    // SAFETY: it ends this thread alone, whose stack stays, and nothing that the other one uses is on it.
    unsafe {
        libc::syscall(libc::SYS_exit, 0);
    }
    unreachable!("this thread has ended")
}

/// Pages of nothing, read only: they are all the same one. What grows are the tables that say so.
fn page_tables(limit: u64) -> io::Result<()> {
    const PIECE_BYTES: usize = 1024 * 1024 * 1024;
    /// What one table is about.
    const TABLE_SPAN: usize = 2 * 1024 * 1024;
    let tables_bytes = (PIECE_BYTES / TABLE_SPAN * PAGE_BYTES) as u64;
    for _ in 0..limit * 2 / tables_bytes {
        #[expect(unsafe_code, reason = "memory without huge pages has no safe wrapper")]
        // SAFETY: new memory at an address of the kernel's choice, never unmapped; it is as long as the slice made of it.
        let piece = unsafe {
            let (access, kind) = (libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            let start = libc::mmap(std::ptr::null_mut(), PIECE_BYTES, access, kind, -1, 0);
            if start == libc::MAP_FAILED || libc::madvise(start, PIECE_BYTES, libc::MADV_NOHUGEPAGE) != 0 {
                return Err(io::Error::last_os_error());
            }
            std::slice::from_raw_parts(start.cast::<u8>(), PIECE_BYTES)
        };
        for byte in piece.iter().step_by(TABLE_SPAN) {
            black_box(*byte);
        }
    }
    over();
    hold_for_ever()
}

fn deleted_file() -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_TMPFILE)
        .open(".")
}

/// Goes further down than one descriptor per directory would reach.
fn deep_folder() -> io::Result<()> {
    for _ in 0..3_000 {
        fs::create_dir("d")?;
        std::env::set_current_dir("d")?;
    }
    Ok(())
}

/// A file that is closed again, in a directory that its owner may not read.
fn closed_folder() -> io::Result<File> {
    fs::create_dir_all("closed/inner")?;
    let file = File::create("closed/inner/big-file");
    fs::set_permissions("closed", fs::Permissions::from_mode(0o300))?;
    file
}

/// Many files that are neither named nor open, each of them well within the limit.
fn mapped_files(limit: u64) -> io::Result<()> {
    const PIECES: usize = 8;
    let (piece, mut written) = (vec![b'x'; PIECE_BYTES], 0);
    while written < limit * 4 {
        let mut file = File::options()
            .read(true)
            .write(true)
            .custom_flags(libc::O_TMPFILE)
            .open(".")?;
        (0..PIECES).try_for_each(|_| file.write_all(&piece))?;
        #[expect(unsafe_code, reason = "mapping a file has no safe wrapper")]
        // SAFETY: new memory at an address of the kernel's choice, never touched.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                PIECES * PIECE_BYTES,
                libc::PROT_READ,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let before = written;
        written += (PIECES * PIECE_BYTES) as u64;
        if before <= limit && written > limit {
            over();
        }
    }
    hold_for_ever()
}

/// Writes the limit four times.
fn fill(file: io::Result<File>, limit: u64) -> io::Result<()> {
    let (mut file, piece) = (file?, vec![b'x'; PIECE_BYTES]);
    let mut written = 0;
    while written < limit * 4 {
        file.write_all(&piece)?;
        if written <= limit && written + piece.len() as u64 > limit {
            over();
        }
        written += piece.len() as u64;
    }
    hold_for_ever()
}

fn many_files(limit: u64) -> io::Result<()> {
    let piece = vec![b'x'; PIECE_BYTES / 16];
    let mut written = 0;
    for number in 0.. {
        let folder = format!("folder-{}", number / 100);
        fs::create_dir_all(&folder)?;
        fs::write(format!("{folder}/file-{number}"), &piece)?;
        if written <= limit && written + piece.len() as u64 > limit {
            over();
        }
        written += piece.len() as u64;
        if written > limit * 4 {
            break;
        }
    }
    hold_for_ever()
}

/// Names of nothing, each of which counts as a small file does: as many as there are in so many bytes.
fn empty_files(bytes: u64, limit: u64) -> io::Result<()> {
    const ENTRY_BYTES: u64 = 4096;
    for number in 0..bytes / ENTRY_BYTES {
        let folder = format!("folder-{}", number / 1000);
        if number % 1000 == 0 {
            fs::create_dir(&folder)?;
        }
        File::create(format!("{folder}/{number}"))?;
        if number == limit / ENTRY_BYTES {
            over();
        }
    }
    Ok(())
}

fn endless_output() -> io::Result<()> {
    let piece = vec![b'x'; 64 * 1024];
    loop {
        io::stdout().write_all(&piece)?;
    }
}

/// Computes for ever, deaf to every signal that can be ignored.
fn busy() -> io::Result<()> {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGXCPU] {
        #[expect(unsafe_code, reason = "signal has no safe wrapper")]
        // SAFETY: to ignore a signal installs no handler.
        unsafe {
            libc::signal(signal, libc::SIG_IGN);
        }
    }
    over();
    let mut number: u64 = 0;
    loop {
        number = black_box(number.wrapping_add(1));
    }
}

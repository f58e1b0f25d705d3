//! Resident memory of a process, as Linux counts it.

use anyhow::{Context, Result};

/// Bytes in a megabyte, as the goals count them.
const MEGABYTE: f64 = 1_000_000.0;

/// `VmRSS` of a running process, in megabytes.
pub(crate) fn resident_mb(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let kib = status
        .lines()
        .find_map(|line| {
            line.strip_prefix("VmRSS:")?
                .trim()
                .strip_suffix(" kB")?
                .parse::<u32>()
                .ok()
        })
        .with_context(|| format!("no VmRSS in {path}"))?;
    Ok(f64::from(kib) * 1024.0 / MEGABYTE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_touched_is_counted() {
        let before = resident_mb(std::process::id()).unwrap();
        let touched = std::hint::black_box(vec![1_u8; 128 << 20]);
        let after = resident_mb(std::process::id()).unwrap();
        assert!(after - before > 64.0, "{before} MB, then {after} MB");
        drop(touched);
    }
}

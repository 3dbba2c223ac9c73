//! One value that says where to compute, made once from what the job asked for.
//!
//! Nothing below this file asks which backend it runs on, except to take the short way over host
//! memory on the CPU. A GPU that the build or the machine lacks is an error with a way out, never
//! a silent change to the CPU; only `auto` chooses by itself.

use super::Error;
use crate::spec::train::DeviceChoice;

pub use burn::tensor::Device;

/// The device for `choice`.
///
/// # Errors
/// [`Error::Device`] when this build lacks the feature or the machine lacks the GPU.
pub fn open(choice: DeviceChoice) -> Result<Device, Error> {
    match choice {
        DeviceChoice::Cpu => Ok(Device::flex()),
        DeviceChoice::Auto => Ok(cuda(0).or_else(|_| wgpu(0)).unwrap_or_else(|_| Device::flex())),
        DeviceChoice::Wgpu(index) => wgpu(index),
        DeviceChoice::Cuda(index) => cuda(index),
    }
}

/// Whether tensors of this device are host memory.
pub fn is_cpu(device: &Device) -> bool {
    *device == Device::flex()
}

/// The device as a report writes it: `cpu`, `wgpu`, `cuda`.
pub fn name(device: &Device) -> &'static str {
    if is_cpu(device) {
        return "cpu";
    }
    #[cfg(feature = "wgpu")]
    if devices_of(burn::tensor::DeviceType::Wgpu).contains(device) {
        return "wgpu";
    }
    #[cfg(feature = "cuda")]
    if devices_of(burn::tensor::DeviceType::Cuda).contains(device) {
        return "cuda";
    }
    "gpu"
}

#[cfg(any(feature = "wgpu", feature = "cuda"))]
fn devices_of(kind: burn::tensor::DeviceType) -> Vec<Device> {
    Device::enumerate(kind).into_vec()
}

/// The `index`-th of the `kind` devices of this machine. Listing asks the driver, so a machine
/// without one gives an empty list and not a panic at the first tensor.
#[cfg(any(feature = "wgpu", feature = "cuda"))]
fn pick(kind: burn::tensor::DeviceType, name: &str, index: usize) -> Result<Device, Error> {
    let found = devices_of(kind);
    let count = found.len();
    found.into_iter().nth(index).ok_or_else(|| Error::Device {
        what: format!(
            "resources.device: {name}:{index} is not there; {count} found on this machine"
        ),
        help: "install the GPU's driver, choose another index, or set resources.device = \"cpu\""
            .into(),
    })
}

#[cfg(feature = "wgpu")]
fn wgpu(index: usize) -> Result<Device, Error> {
    pick(burn::tensor::DeviceType::Wgpu, "wgpu", index)
}

#[cfg(not(feature = "wgpu"))]
fn wgpu(index: usize) -> Result<Device, Error> {
    Err(lacking("wgpu", index))
}

#[cfg(feature = "cuda")]
fn cuda(index: usize) -> Result<Device, Error> {
    pick(burn::tensor::DeviceType::Cuda, "cuda", index)
}

#[cfg(not(feature = "cuda"))]
fn cuda(index: usize) -> Result<Device, Error> {
    Err(lacking("cuda", index))
}

#[cfg(not(all(feature = "wgpu", feature = "cuda")))]
fn lacking(feature: &str, index: usize) -> Error {
    Error::Device {
        what: format!(
            "resources.device: this build of smrt has no {feature}, asked for {feature}:{index}"
        ),
        help: format!(
            "build it with `cargo build --release --features {feature}`, or set resources.device = \"cpu\" or \"auto\""
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Fault;

    #[test]
    fn the_cpu_is_always_there() {
        let device = open(DeviceChoice::Cpu).unwrap();
        assert!(is_cpu(&device));
        assert_eq!(name(&device), "cpu");
    }

    #[cfg(not(feature = "wgpu"))]
    #[test]
    fn a_device_the_build_lacks_is_refused_with_a_way_out() {
        let error = open(DeviceChoice::Wgpu(0)).unwrap_err();
        assert!(error.to_string().contains("no wgpu"), "{error}");
        assert!(error.help().unwrap().contains("--features wgpu"));
    }

    #[cfg(not(any(feature = "wgpu", feature = "cuda")))]
    #[test]
    fn auto_takes_the_cpu_when_there_is_nothing_else() {
        assert!(is_cpu(&open(DeviceChoice::Auto).unwrap()));
    }
}

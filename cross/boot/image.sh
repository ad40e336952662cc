#!/bin/bash
# Makes what an emulated ARM machine starts from: Debian's kernel, and an initramfs with BusyBox,
# the modules for its network and its disk, and a midge as BusyBox init's service.
#
#   cross/boot/image.sh TARGET    into target/cross/boot/TARGET
#
# Needs cpio, and what `cross/sdk.sh boot` and `cross/build.sh TARGET` made.
set -euo pipefail
cd "$(dirname "$0")/../.."
. cross/common.sh
. cross/versions.sh

case $1 in
    aarch64) architecture=arm64 flavour=arm64 ;;
    *) architecture=armhf flavour=armmp ;;
esac
from=$SDK/boot/$architecture
modules=$from/lib/modules/$KERNEL-$flavour
into=$PWD/target/cross/boot/$1
rm -rf "$into"
mkdir -p "$into"/tree/{bin,data,dev,etc,modules,proc,sys}

cp "$from/boot/vmlinuz-$KERNEL-$flavour" "$into/kernel"
cp "$from/bin/busybox" "$into/tree/bin"
cp "$DIST/midge-$1" "$into/tree/bin/midge"
# In the order they depend on each other; one that this kernel has built in is not there.
number=10
for module in failover net_failover virtio_net virtio_blk virtio_pci_modern_dev \
    virtio_pci_legacy_dev virtio_pci virtio_mmio crc32c_generic crc16 mbcache jbd2 ext4; do
    find "$modules/kernel" -name "$module.ko" -exec cp {} "$into/tree/modules/$number-$module.ko" \;
    number=$((number + 1))
done

ln -s /bin/busybox "$into/tree/init"
cat >"$into/tree/etc/inittab" <<'EOF'
::sysinit:/bin/busybox sh /etc/rc
::respawn:/bin/midge -c /etc/midge.conf
::once:/bin/busybox sh /etc/memory
EOF
# Tells the console what a broker takes as soon as it accepts (cross/test.sh reads it).
cat >"$into/tree/etc/memory" <<'EOF'
until netstat -ltn | grep -q :1883; do usleep 100000; done
echo "memory of midge: $(grep VmRSS "/proc/$(pidof midge)/status")"
EOF
cat >"$into/tree/etc/rc" <<'EOF'
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in /modules/*; do insmod "$module"; done
ifconfig lo 127.0.0.1 up
ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up
mount -t ext4 /dev/vda /data || { echo "no disk"; poweroff -f; }
EOF
(cd "$into/tree" && find . | LC_ALL=C sort | cpio -o -H newc --owner 0:0 --quiet | gzip -1) \
    >"$into/initramfs"
rm -r "$into/tree"

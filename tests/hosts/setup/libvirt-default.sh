# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# libvirt's own network, from boot on. Its packages bring dnsmasq without a service.
systemctl disable --now dnsmasq.service
systemctl enable libvirtd.service
virsh net-autostart default

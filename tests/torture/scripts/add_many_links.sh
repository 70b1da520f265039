# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# 1,000 links and 500 routes that are not ours.
for i in $(seq 1 500); do echo link add o$i type veth peer name p$i; done >/run/batch
for i in $(seq 1 500); do echo link set o$i up; done >>/run/batch
for i in $(seq 1 500); do echo route add 10.$((i / 200)).$((i % 200)).0/24 via 203.0.113.1; done >>/run/batch
ip -batch /run/batch
rm /run/batch

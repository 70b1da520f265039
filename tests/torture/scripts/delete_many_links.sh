# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# Undoes add_many_links.sh.
for i in $(seq 1 500); do echo link delete o$i; done >/run/batch
for i in $(seq 1 500); do echo route delete 10.$((i / 200)).$((i % 200)).0/24; done >>/run/batch
ip -batch /run/batch
rm /run/batch

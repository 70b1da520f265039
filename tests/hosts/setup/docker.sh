# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# Docker with a network of its user. Its images come from nowhere here: one of busybox is imported, and serves a port.
cat > /etc/docker/daemon.json << 'CONF'
{"storage-driver": "vfs"}
CONF
systemctl enable --now docker.service
mkdir -p /srv/image/bin /srv/image/www
cp /usr/bin/busybox /srv/image/bin/busybox
echo 'from a container' > /srv/image/www/index.html
tar --create --directory=/srv/image . | docker import - web
docker network create theirs
docker run --detach --name=web --restart=always --network=theirs --publish=8080:80 web \
  /bin/busybox httpd -f -p 80 -h /www

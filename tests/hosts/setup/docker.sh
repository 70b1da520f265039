# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# Docker with a container that serves port 8080. No storage driver but vfs works on the file system of a lab's host.
mkdir -p /etc/docker /srv/image/bin /srv/image/www
echo '{ "storage-driver": "vfs" }' > /etc/docker/daemon.json
systemctl enable --now docker.service
cp /bin/busybox /srv/image/bin/
echo 'from a container' > /srv/image/www/index.html
tar --create --directory /srv/image . | docker import - web
docker run --detach --restart always --name web --publish 8080:80 web /bin/busybox httpd -f -h /www -p 80

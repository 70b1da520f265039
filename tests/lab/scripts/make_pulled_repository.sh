# SPDX-FileCopyrightText: virtnet.linux contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# The collection as ansible-galaxy installs it, and a repository of a site for ansible-pull.
ansible-galaxy collection install --offline /srv/collection.tar.gz
mkdir -p /srv/site
cd /srv/site
printf '%s\n' 'all:' '  hosts:' "    $(hostname):" '      ansible_connection: local' \
  '      virtnet_networks:' '        - name: lab' > hosts.yml
printf '%s\n' '- name: Site' '  hosts: all' '  gather_facts: false' '  roles:' '    - virtnet.linux.virtnet' > site.yml
printf '%s\n' '- name: Teardown' '  ansible.builtin.import_playbook: virtnet.linux.teardown' > teardown.yml
git init -q
git add .
git -c user.name=lab -c user.email=lab@example.test commit -q -m site
git clone -q --bare /srv/site /srv/site.git

defmodule Racefree.StalledDisk do
  @moduledoc """
  A file system of its own that stops when it is told to: the system's `fsfreeze`, under which every write and sync waits, as they do for a disk that does not answer.

  What stands still is the machine's, not a part of ours that plays it. It takes root and Linux; `mount/1` says why if it cannot be had.
  """

  @doc "Makes a file system in `folder`, and gives where it is mounted."
  @spec mount(Path.t()) :: {:ok, Path.t()} | {:error, String.t()}
  def mount(folder) do
    image = Path.join(folder, "image")
    mounted = Path.join(folder, "mount")
    File.mkdir_p!(mounted)

    with :ok <- run(["truncate", "--size=64M", image]),
         :ok <- run(["mkfs.ext4", "-q", image]),
         :ok <- run(["mount", "-o", "loop", image, mounted]),
         do: {:ok, mounted}
  end

  @spec unmount(Path.t()) :: :ok | {:error, String.t()}
  def unmount(mounted), do: run(["umount", "--lazy", mounted])

  @doc "From its return nothing is written until `thaw/1`, or until the calling process ends: what is to be stopped after it may wait for the disk."
  @spec freeze(Path.t()) :: :ok | {:error, String.t()}
  def freeze(mounted) do
    frozen_by = self()

    spawn(fn ->
      ref = Process.monitor(frozen_by)

      receive do
        {:DOWN, ^ref, :process, ^frozen_by, _reason} -> thaw(mounted)
      end
    end)

    run(["fsfreeze", "--freeze", mounted])
  end

  @spec thaw(Path.t()) :: :ok | {:error, String.t()}
  def thaw(mounted), do: run(["fsfreeze", "--unfreeze", mounted])

  defp run([program | arguments] = command) do
    case System.find_executable(program) do
      nil ->
        {:error, "there is no #{program}"}

      path ->
        case System.cmd(path, arguments, stderr_to_stdout: true) do
          {_words, 0} -> :ok
          {words, _status} -> {:error, "#{Enum.join(command, " ")}: #{String.trim(words)}"}
        end
    end
  end
end

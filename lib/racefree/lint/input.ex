defmodule Racefree.Lint.Input do
  # The bytes of standard input. The virtual machine has read them already, or will, so the linter cannot; and it reads them as text.
  @moduledoc false

  @piece_bytes 1_048_576

  @doc "All of standard input, byte for byte if it is text in the encoding of the locale."
  @spec read() :: binary
  def read do
    before = :io.getopts(:standard_io)[:encoding]

    # OTP 26 to 28 decode by the locale, whatever is set, and then refuse to give what does not fit into what is set.
    encoding = if :file.native_name_encoding() == :utf8, do: :unicode, else: :latin1
    :ok = :io.setopts(:standard_io, encoding: encoding)

    try do
      pieces(encoding, [])
    after
      :io.setopts(:standard_io, encoding: before)
    end
  end

  defp pieces(encoding, read) do
    # Not to the end at once: that goes line by line, and bends line ends.
    case piece(encoding) do
      :eof -> read |> Enum.reverse() |> IO.iodata_to_binary()
      bytes when is_binary(bytes) -> pieces(encoding, [bytes | read])
      {:error, reason} -> Mix.raise("standard input cannot be read: #{inspect(reason)}")
    end
  end

  defp piece(:unicode), do: IO.read(:stdio, @piece_bytes)
  defp piece(:latin1), do: IO.binread(:stdio, @piece_bytes)
end
